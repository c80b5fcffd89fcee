"""The plugin's entry: the engine starts `pulumi-resource-vertexops`, which starts this."""

from __future__ import annotations

from collections.abc import Callable

from pulumi_plugin.kinds import Context, Failure, Kind, Plugin, ProviderError
from pulumi_plugin.server import serve
from pulumi_plugin.values import Props
from vertexops import forms, schema
from vertexops.fixed import FixedSettings
from vertexops.google import Google
from vertexops.models import RegisteredModel
from vertexops.readiness import AccessReady, ServicesReady
from vertexops.rollout import ModelRollout
from vertexops.waiting import Clock

KINDS: dict[str, Callable[[Google, Clock], Kind]] = {
    schema.REGISTERED_MODEL: RegisteredModel,
    schema.MODEL_ROLLOUT: ModelRollout,
    schema.SERVICES_READY: ServicesReady,
    schema.ACCESS_READY: AccessReady,
    schema.FIXED_SETTINGS: lambda google, clock: FixedSettings(),
}


class VertexOps(Plugin):
    name = schema.NAME
    version = schema.VERSION

    def __init__(self) -> None:
        self.clock = Clock()
        self.google = Google("", "", "")

    def check_config(self, inputs: Props, context: Context) -> tuple[Props, list[Failure]]:
        account = inputs.get("impersonateServiceAccount")
        return inputs, forms.ACCOUNT.check(account, "impersonateServiceAccount")

    def configure(self, inputs: Props, context: Context) -> None:
        project, region = inputs.get("project") or "", inputs.get("region") or ""
        self.google = Google(project, region, inputs.get("impersonateServiceAccount") or "")

    def kind(self, token: str) -> Kind:
        if token not in KINDS:
            raise ProviderError(f"{token} is not one of {', '.join(KINDS)}")
        return KINDS[token](self.google, self.clock)

    def schema(self) -> str:
        return schema.PACKAGE.schema()


if __name__ == "__main__":
    serve(VertexOps)
