"""Allow policies of topics, subscriptions and schemas: the same three methods for each."""

from __future__ import annotations

from collections.abc import Callable

from rehearsal.cloud.api import ApiError, Call, Result, method
from rehearsal.cloud.services.pubsub.state import PubSub


def _on_resource(call: Call) -> str:
    return str(call.params["resource"])


def _register(kind: str, require: Callable[[PubSub, str], object]) -> None:
    """`require` raises 404 for what is not there; after the permission, as elsewhere."""
    prefix = f"pubsub.projects.{kind}"

    @method(f"{prefix}.getIamPolicy", permission=f"pubsub.{kind}.getIamPolicy", on=_on_resource)
    def get_policy(call: Call) -> Result:
        require(call.cloud.pubsub, call.resource)
        version = call.params.get("options.requestedPolicyVersion", 1)
        return call.cloud.iam.get_policy(call.resource, version)

    @method(f"{prefix}.setIamPolicy", permission=f"pubsub.{kind}.setIamPolicy", on=_on_resource)
    def set_policy(call: Call) -> Result:
        require(call.cloud.pubsub, call.resource)
        policy = call.body.get("policy", {})
        return call.cloud.iam.set_policy(call.resource, policy, call.body.get("updateMask"))

    # Anyone may ask what they hold; a missing resource is an empty answer, not an error (discovery
    # document).
    @method(f"{prefix}.testIamPermissions", permission=None, on=_on_resource)
    def test_permissions(call: Call) -> Result:
        try:
            require(call.cloud.pubsub, call.resource)
        except ApiError:
            return {}
        wanted = call.body.get("permissions", [])
        held = call.cloud.iam.test(call.principal, call.resource, wanted)
        return {"permissions": held} if held else {}


_register("topics", PubSub.topic)
_register("subscriptions", PubSub.subscription)
_register("schemas", PubSub.schema)
