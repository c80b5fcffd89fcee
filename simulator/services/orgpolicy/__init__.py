"""Organisation Policy v2, and what it keeps callers of other services from doing.

Rules and inheritance: discovery document `orgpolicy.v2`. Shapes of answers and the 404: the
recordings in http-logs/orgpolicy-policy.log.
"""

from simulator.api.calls import Service
from simulator.services.orgpolicy import policies
from simulator.services.orgpolicy.state import OrgPolicies

SERVICE = Service(OrgPolicies, policies.method, policies.HONOURED)
