"""Cloud Logging v2: audit logs of what happened here, written entries, metrics and sinks.

Permissions: docs logging/docs/access-control. Buckets, views, exclusions, settings and tailing
answer 501.
"""

from rehearsal.cloud.services.logging import entries, metrics, sinks
from rehearsal.cloud.services.logging.state import Logging

__all__ = ["Logging", "entries", "metrics", "sinks"]
