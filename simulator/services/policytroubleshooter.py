"""Policy Troubleshooter v3: whether somebody holds a permission, and which kind of policy decides.

Fields, states and who can be asked about: discovery document. Whoever asks needs to be able to read
the policies above the resource: `getIamPolicy` of projects, folders and organizations, and deny
policies (docs policy-intelligence/docs/troubleshoot-access, "Required permissions"). That the
project's permission shows the policies of what is in it, and the sentences of the refusals, are
inferences. Policies are not explained binding by binding, and conditions are judged as of now.
"""

from __future__ import annotations

import re

from policies.gcp_access import roles
from simulator.api.calls import Call, Methods, Result, Service
from simulator.api.errors import invalid
from simulator.api.honoured import Table
from simulator.core.platform import Containers
from simulator.core.principal import Principal
from simulator.iam.decisions import CONTAINERS, Iam

method = Methods()

ADDRESS = re.compile(r"[^@\s:/]+@[^@\s:/]+")
FULL_NAME = re.compile(r"//[a-z]+\.googleapis\.com/((?:projects|folders|organizations)/.+)")

HONOURED = Table(
    "policytroubleshooter",
    {
        "TroubleshootIamPolicyRequest": "accessTuple",
        "AccessTuple": "fullResourceName permission principal",
    },
)


# What the sender may not read is left out of the answer; asking is not itself a permission.
@method("policytroubleshooter.iam.troubleshoot", permission=None)
def troubleshoot(call: Call) -> Result:
    asked, iam = call.body.get("accessTuple", {}), call.cloud[Iam]
    who, permission = _principal(asked.get("principal", "")), asked.get("permission", "")
    if not roles.exists(permission):
        raise invalid(f"Permission {permission} is not valid.")
    resource = _resource(call, asked.get("fullResourceName", ""))
    via = iam.allowing(who, permission, resource)
    denied_by = iam.denying(who, permission, resource)
    allow = _state(call, resource, "resourcemanager.{kind}.getIamPolicy", via and via.resource)
    deny = _state(call, resource, "iam.denypolicies.get", denied_by)
    allowed = "UNKNOWN_INFO" if allow is None else "GRANTED" if allow else "NOT_GRANTED"
    denied = "UNKNOWN_INFO" if deny is None else "DENIED" if deny else "NOT_DENIED"
    return {
        "overallAccessState": _overall(allow, deny),
        "accessTuple": asked,
        "allowPolicyExplanation": {"allowAccessState": f"ALLOW_ACCESS_STATE_{allowed}"},
        "denyPolicyExplanation": {"denyAccessState": f"DENY_ACCESS_STATE_{denied}"},
    }


def _principal(address: str) -> Principal:
    if not ADDRESS.fullmatch(address):
        raise invalid(f"Principal {address} is not supported.")
    account = address.endswith(".gserviceaccount.com")
    return Principal(f"{'serviceAccount' if account else 'user'}:{address}")


def _resource(call: Call, name: str) -> str:
    """`//pubsub.googleapis.com/projects/P/topics/T` is `projects/P/topics/T`, projects by id."""
    found = FULL_NAME.fullmatch(name)
    if not found:
        raise invalid(f"Full resource name {name} is not valid.")
    kind, _, rest = found[1].partition("/")
    reference, slash, below = rest.partition("/")
    reference = call.cloud[Containers].id(reference) if kind == "projects" else reference
    return f"{kind}/{reference}{slash}{below}"


def _state(call: Call, resource: str, permission: str, decided_at: str | None) -> bool | None:
    """Whether a policy decides, as far as the sender may read policies; None where it may not.

    `decided_at` is the resource of that policy, or a name below it.
    """
    iam = call.cloud[Iam]
    above = [name for name in iam.ancestors(resource) if name.startswith(CONTAINERS)]
    above = [name for name in above if name.count("/") == 1]
    unread = {
        name
        for name in above
        if not iam.decide(call.principal, permission.format(kind=name.partition("/")[0]), name)
    }
    if decided_at and iam.container(decided_at) not in unread:
        return True
    return None if unread else False


def _overall(allow: bool | None, deny: bool | None) -> str:
    if allow is False or deny is True:
        return "CANNOT_ACCESS"
    return "CAN_ACCESS" if allow and deny is False else "UNKNOWN_INFO"


SERVICE = Service(None, method, HONOURED)
