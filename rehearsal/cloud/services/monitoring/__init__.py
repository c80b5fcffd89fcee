"""Cloud Monitoring: v3 without groups, uptime checks and snoozes, and v1 dashboards.

Permissions are named like the methods (docs monitoring/access-control); those of services are
`monitoring.services.*`, those of service level objectives `monitoring.slos.*`. Everything else
answers 501.
"""

from rehearsal.cloud.services.monitoring import (
    channels,
    dashboards,
    descriptors,
    policies,
    slos,
    timeseries,
)
from rehearsal.cloud.services.monitoring.state import Monitoring

__all__ = [
    "Monitoring",
    "channels",
    "dashboards",
    "descriptors",
    "policies",
    "slos",
    "timeseries",
]
