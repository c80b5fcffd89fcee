"""Cloud Monitoring: v3 without groups, uptime checks and snoozes, and v1 dashboards.

Permissions are named like the methods (docs monitoring/access-control); those of services are
`monitoring.services.*`, those of service level objectives `monitoring.slos.*`. Everything else
answers 501.
"""

from functools import partial

from simulator.api.calls import Service
from simulator.api.honoured import ALL, Table
from simulator.api.operations import Operations
from simulator.core.cloud import Cloud
from simulator.services.monitoring import (
    channels,
    dashboards,
    descriptors,
    incidents,
    policies,
    slos,
    timeseries,
)
from simulator.services.monitoring.state import Monitoring

NAMED = "the path, or an id beside it, says which it is"
RECORD = "a record that the service writes, ignored in requests"

HONOURED = Table(
    "monitoring",
    {
        "AlertPolicy": (
            "alertStrategy combiner conditions displayName documentation enabled "
            "notificationChannels severity userLabels"
        ),
        "AlertStrategy": "autoClose notificationPrompts notificationRateLimit",
        "NotificationRateLimit": ALL,
        # What of it is not evaluated is said where alerts are listed.
        "Condition": ALL,
        "Dashboard": ALL,
        "Documentation": ALL,
        "NotificationChannel": "description displayName enabled labels type userLabels",
        "Service": (
            "appEngine basicService cloudEndpoints cloudRun clusterIstio custom displayName "
            "gkeNamespace gkeService gkeWorkload istioCanonicalService meshIstio telemetry "
            "userLabels"
        ),
        **dict.fromkeys(
            (
                *("AppEngine", "BasicService", "CloudEndpoints", "CloudRun", "ClusterIstio"),
                *("GkeNamespace", "GkeService", "GkeWorkload", "IstioCanonicalService"),
                *("MeshIstio", "ServiceLevelIndicator", "Telemetry"),
            ),
            ALL,
        ),
        "ServiceLevelObjective": (
            "calendarPeriod displayName goal rollingPeriod serviceLevelIndicator userLabels"
        ),
    },
    {
        "AlertPolicy.creationRecord": RECORD,
        "AlertPolicy.mutationRecord": RECORD,
        "AlertPolicy.name": NAMED,
        "AlertPolicy.validity": "read-only (discovery document)",
        "NotificationChannel.creationRecord": RECORD,
        "NotificationChannel.mutationRecords": RECORD,
        "NotificationChannel.name": NAMED,
        "NotificationChannel.verificationStatus": "verifying changes it, no update does",
        "Service.name": NAMED,
        "ServiceLevelObjective.name": NAMED,
    },
)


def _state(cloud: Cloud) -> Monitoring:
    cloud[Operations].whenever_settled(partial(incidents.look, cloud))
    return Monitoring(cloud)


SERVICE = Service(
    _state,
    channels.method,
    dashboards.method,
    descriptors.method,
    incidents.method,
    policies.method,
    slos.method,
    timeseries.method,
    HONOURED,
)
