"""Cloud Logging v2: audit logs of what happened here, written entries, metrics and sinks.

Permissions: docs logging/docs/access-control. Buckets, views, exclusions, settings and tailing
answer 501.
"""

from simulator.api.calls import Service
from simulator.api.honoured import ALL, Table
from simulator.services.logging import entries, metrics, sinks
from simulator.services.logging.state import Logging

OF_ORGANIZATIONS = "only for sinks of organizations and folders (discovery document)"
OF_LOG_METRIC = "output only, made from the metric's name and description (discovery document)"

HONOURED = Table(
    "logging",
    {
        "BigQueryOptions": "usePartitionedTables",
        "BucketOptions": ALL,
        "HttpRequest": ALL,
        "LabelDescriptor": ALL,
        "ListLogEntriesRequest": ALL,
        "LogEntry": (
            "httpRequest insertId jsonPayload labels logName operation otel protoPayload resource "
            "severity sourceLocation spanId split textPayload timestamp trace traceSampled"
        ),
        "LogEntryOperation": ALL,
        "LogEntrySourceLocation": ALL,
        "LogExclusion": "description disabled filter name",
        "LogMetric": (
            "bucketOptions description disabled filter labelExtractors metricDescriptor name "
            "valueExtractor"
        ),
        "LogSink": "bigqueryOptions description destination disabled exclusions filter name",
        "LogSplit": ALL,
        "MetricDescriptor": "displayName labels launchStage metadata metricKind unit valueType",
        "MetricDescriptorMetadata": ALL,
        "MonitoredResource": ALL,
        "WriteLogEntriesRequest": "dryRun entries labels logName partialSuccess resource",
    },
    {
        "LogMetric.version": "deprecated; v2 is used and cannot be changed (discovery document)",
        "LogSink.includeChildren": OF_ORGANIZATIONS,
        "LogSink.interceptChildren": OF_ORGANIZATIONS,
        "LogSink.outputVersionFormat": "deprecated and unused (discovery document)",
        "MetricDescriptor.description": OF_LOG_METRIC,
        "MetricDescriptor.monitoredResourceTypes": "read-only (discovery document)",
        "MetricDescriptor.name": OF_LOG_METRIC,
        "MetricDescriptor.type": OF_LOG_METRIC,
    },
)

SERVICE = Service(Logging, entries.method, metrics.method, sinks.method, HONOURED)
