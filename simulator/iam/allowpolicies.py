"""The three methods for the allow policy of a resource, which most services have alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from simulator.api.calls import Call, Methods, Result
from simulator.api.errors import ApiError
from simulator.iam.decisions import Iam

# Of `honoured.Table`, alike in all these services.
POLICY_FIELDS: Final = {
    "SetIamPolicyRequest": "*",
    "TestIamPermissionsRequest": "*",
}
VERSION = "options.requestedPolicyVersion"
"""In the query; a body has the same."""


def _on_resource(call: Call) -> str:
    return str(call.params["resource"])


def register(
    method: Methods,
    prefix: str,
    permissions: str,
    require: Callable[[Call, str], object],
    *,
    reads: str = VERSION,
) -> None:
    """Add handlers for `PREFIX.getIamPolicy` and its siblings, checking `PERMISSIONS.getIamPolicy`.

    `require` raises 404 for a resource that is not there; after the permission, as elsewhere.
    `reads` is empty where the version that is asked for stands in a body.
    """

    @method(
        f"{prefix}.getIamPolicy",
        permission=f"{permissions}.getIamPolicy",
        on=_on_resource,
        reads=reads,
    )
    def get_policy(call: Call) -> Result:
        require(call, call.resource)
        asked = call.body.get("options", {}).get("requestedPolicyVersion", 1)
        return call.cloud[Iam].get_policy(call.resource, int(call.params.get(VERSION, asked)))

    @method(f"{prefix}.setIamPolicy", permission=f"{permissions}.setIamPolicy", on=_on_resource)
    def set_policy(call: Call) -> Result:
        require(call, call.resource)
        policy = call.body.get("policy", {})
        return call.cloud[Iam].set_policy(call.resource, policy, call.body.get("updateMask"))

    # Anyone may ask what they hold; a missing resource is an empty answer, not an error (discovery
    # documents).
    @method(f"{prefix}.testIamPermissions", permission=None, on=_on_resource)
    def test_permissions(call: Call) -> Result:
        try:
            require(call, call.resource)
        except ApiError:
            return {}
        wanted = call.body.get("permissions", [])
        held = call.cloud[Iam].test(call.principal, call.resource, wanted)
        return {"permissions": held} if held else {}
