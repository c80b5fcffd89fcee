"""The plugin's entry: the engine starts `pulumi-resource-vertexops`, which starts this."""

from __future__ import annotations

from collections.abc import Callable

from pulumi_plugin.kinds import Context, Failure, Kind, Plugin, ProviderError
from pulumi_plugin.server import serve
from pulumi_plugin.values import Props, conceal
from vertexops import forms, schema
from vertexops.clearblade import ClearBlade
from vertexops.devices import DeviceRegistry, RegisteredDevice
from vertexops.fixed import FixedSettings
from vertexops.google import Google
from vertexops.guard import DestroyGuard
from vertexops.models import RegisteredModel
from vertexops.monitoring import MonitoringJob
from vertexops.readiness import AccessReady, FoundationReady, ServicesReady
from vertexops.rollout import ModelRollout
from vertexops.waiting import Clock

KINDS: dict[str, Callable[[VertexOps], Kind]] = {
    schema.REGISTERED_MODEL: lambda it: RegisteredModel(it.google, it.clock),
    schema.MODEL_ROLLOUT: lambda it: ModelRollout(it.google, it.clock),
    schema.MONITORING_JOB: lambda it: MonitoringJob(it.google, it.clock),
    schema.SERVICES_READY: lambda it: ServicesReady(it.google, it.clock),
    schema.ACCESS_READY: lambda it: AccessReady(it.google, it.clock),
    schema.FOUNDATION_READY: lambda it: FoundationReady(it.google, it.clock),
    schema.FIXED_SETTINGS: lambda it: FixedSettings(),
    schema.DESTROY_GUARD: lambda it: DestroyGuard(it.google, it.clock),
    schema.DEVICE_REGISTRY: lambda it: DeviceRegistry(it.google, it.clearblade, it.clock),
    schema.REGISTERED_DEVICE: lambda it: RegisteredDevice(it.clearblade, it.clock),
}


class VertexOps(Plugin):
    name = schema.NAME
    version = schema.VERSION
    google: Google
    clearblade: ClearBlade
    clock: Clock

    def __init__(self) -> None:
        self.clock = Clock()
        self.google = Google("", "", "")
        self.clearblade = ClearBlade()

    def check_config(self, inputs: Props, context: Context) -> tuple[Props, list[Failure]]:
        account = inputs.get("impersonateServiceAccount")
        inputs = conceal(inputs, ["clearbladeCredentials"])
        return inputs, forms.ACCOUNT.check(account, "impersonateServiceAccount")

    def configure(self, inputs: Props, context: Context) -> None:
        project, region = inputs.get("project") or "", inputs.get("region") or ""
        self.google = Google(project, region, inputs.get("impersonateServiceAccount") or "")
        self.clearblade = ClearBlade(inputs.get("clearbladeCredentials") or "")

    def kind(self, token: str) -> Kind:
        if token not in KINDS:
            raise ProviderError(f"{token} is not one of {', '.join(KINDS)}")
        return KINDS[token](self)

    def schema(self) -> str:
        return schema.PACKAGE.schema()


if __name__ == "__main__":
    serve(VertexOps)
