"""DestroyGuard: what a `pulumi destroy` deletes first, or refuses to.

Google deletes no endpoint with models on it, and models of others are not the stack's to take off.
The engine would learn of them last, with the telemetry and the alerts gone already.
"""

from __future__ import annotations

from pulumi_plugin.kinds import Context, Failure, ProviderError, StateOnly
from pulumi_plugin.values import Props
from vertexops import forms
from vertexops.deployed import NOT_DELETED, bears_our_id, from_google, in_the_way
from vertexops.errors import GoogleError, explain
from vertexops.google import Google
from vertexops.schema import DESTROY_GUARD, PACKAGE
from vertexops.waiting import Clock, Waiting

DEADLINE = 60


class DestroyGuard(StateOnly):
    id, nature = "guard", "Google knows nothing of a guard"

    def __init__(self, google: Google, clock: Clock) -> None:
        self.google, self.clock = google, clock

    def check(
        self, inputs: Props, old_inputs: Props, context: Context
    ) -> tuple[Props, list[Failure]]:
        inputs, failures = PACKAGE.check(DESTROY_GUARD, inputs)
        return inputs, failures + forms.ENDPOINT.check(inputs.get("endpoint"), "endpoint")

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        """An `up` that failed may have deployed what this was not told of: its ids tell."""
        endpoint = inputs["endpoint"]
        vertex = self.google.vertex(forms.ENDPOINT.parse(endpoint)["location"])
        waiting = Waiting(context, DEADLINE, self.clock)
        try:
            found = from_google(endpoint, waiting.call(vertex.endpoint, endpoint))
        except GoogleError as error:
            if error.code == 404:
                return
            raise explain(error, f"reading {endpoint}", self.google) from error
        if found and inputs.get("empty"):
            raise ProviderError(
                f"{len(found)} models are deployed on {endpoint}. Destroy the stack that rolls "
                "them out (layer: rollout) first; nothing of this one is gone"
            )
        own = {
            id
            for id, there in found.items()
            if id in inputs["deployedModelIds"] or bears_our_id(endpoint, id, there)
        }
        if found.keys() - own and not inputs.get("adoptForeign"):
            raise ProviderError(in_the_way(endpoint, found, own, NOT_DELETED))
