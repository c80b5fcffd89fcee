"""The three methods for the allow policy of a resource, which most services have alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from simulator.api.calls import Call, Function, Methods, Result, on_resource
from simulator.api.errors import ApiError
from simulator.iam.decisions import Iam

# Of `honoured.Table`, alike in all these services.
POLICY_FIELDS: Final = {
    "SetIamPolicyRequest": "*",
    "TestIamPermissionsRequest": "*",
}
VERSION = "options.requestedPolicyVersion"
"""In the query; a body has the same."""


def held(call: Call) -> Result:
    """Which of the permissions that are asked for, in the body or the query, the caller holds."""
    wanted = call.body.get("permissions") or call.params.get("permissions", [])
    found = call.cloud[Iam].test(call.principal, call.resource, wanted)
    return {"permissions": found} if found else {}


def register(
    method: Methods,
    prefix: str,
    permissions: str,
    require: Callable[[Call, str], object] | None,
    *,
    on: Callable[[Call], str] = on_resource,
    reads: str = VERSION,
    test: Function | None = None,
    test_reads: str = "",
) -> None:
    """Add handlers for `PREFIX.getIamPolicy` and its siblings, checking `PERMISSIONS.getIamPolicy`.

    `require` raises 404 for a resource that is not there; after the permission, as elsewhere. None
    where nobody holds that permission on what is not there. `reads` is empty where the version that
    is asked for stands in a body. `test` answers testIamPermissions; unless given, what is held on
    a resource that is there, and nothing for one that is not (discovery documents;
    gcp-facts/08_iot_and_testiam.md). `test_reads`: what that reads of the query.
    """

    @method(f"{prefix}.getIamPolicy", permission=f"{permissions}.getIamPolicy", on=on, reads=reads)
    def get_policy(call: Call) -> Result:
        if require:
            require(call, call.resource)
        asked = call.body.get("options", {}).get("requestedPolicyVersion", 1)
        return call.cloud[Iam].get_policy(call.resource, int(call.params.get(VERSION, asked)))

    @method(f"{prefix}.setIamPolicy", permission=f"{permissions}.setIamPolicy", on=on)
    def set_policy(call: Call) -> Result:
        if require:
            require(call, call.resource)
        policy = call.body.get("policy", {})
        return call.cloud[Iam].set_policy(call.resource, policy, call.body.get("updateMask"))

    def test_permissions(call: Call) -> Result:
        try:
            if require:
                require(call, call.resource)
        except ApiError:
            return {}
        return held(call)

    # Anyone may ask what they hold.
    tested = method(f"{prefix}.testIamPermissions", permission=None, on=on, reads=test_reads)
    tested(test or test_permissions)
