"""A predictive-maintenance model on Vertex AI, with least-privilege access.

Two identities: `platform` declares the foundation; `deployer`, which platform becomes, creates the
endpoint and rolls models out, so that each `pulumi up` exercises the role it declared.
"""

from pathlib import Path

import pulumi
import pulumi_gcp as gcp

from components import permissions
from components.access import Access, AccessArgs
from components.apis import Apis, ApisArgs
from components.artifacts import Artifacts, ArtifactsArgs
from components.devices import Devices, DevicesArgs, for_a_broker
from components.drift import Drift, DriftArgs
from components.federation import Federation, FederationArgs
from components.fixed import watched
from components.observability import Observability, ObservabilityArgs
from components.routing import Routing, RoutingArgs
from components.serving import Serving, ServingArgs
from components.settings import load
from components.telemetry import Telemetry, TelemetryArgs
from vertexops.sdk import DestroyGuard, FixedSettings, Provider

root = Path(__file__).parent
settings = load(root)


def new_before_old(
    resource: pulumi.ResourceTransformationArgs,
) -> pulumi.ResourceTransformationResult:
    """Have the new resource made before the old one goes, whatever is replaced.

    The gcp plugin asks for the opposite wherever the program chose the name, and the engine then
    first deletes all that depends on it: models while they serve. Here a replacement always has
    another name, and a change that would keep the name is refused beforehand.
    """
    first = pulumi.ResourceOptions(delete_before_replace=False)
    return pulumi.ResourceTransformationResult(
        resource.props, pulumi.ResourceOptions.merge(resource.opts, first)
    )


pulumi.runtime.register_stack_transformation(new_before_old)

# The plugin sends a grant on an endpoint to the provider's region, which it also takes from a zone;
# a `region` it would look up, and warn in each preview of an identity that may not
# (docs/decisions/0008). No zone is ever asked for anything.
zone = f"{settings.region}-a"

# Whatever else there is waits for this, through its provider.
credentials = settings.clearblade_credentials
platform_vertexops = Provider(
    "platform-vertexops",
    clearblade_credentials=credentials.get_secret_value() if credentials else None,
)
settled = FixedSettings(
    "settings", settings=watched(settings), opts=pulumi.ResourceOptions(provider=platform_vertexops)
)
platform = gcp.Provider(
    "platform",
    project=settings.project,
    zone=zone,
    opts=pulumi.ResourceOptions(depends_on=[settled]),
)
as_platform = [platform, platform_vertexops]

apis = Apis(
    "apis",
    ApisArgs(settings.project, settings.region, settings.readiness_seconds),
    pulumi.ResourceOptions(providers=as_platform),
)
serves = pulumi.ResourceOptions(providers=as_platform, depends_on=[apis.ready])

uploads = {model.id: root / model.artifact for model in settings.models if model.artifact}
trained = {
    model.id: root / model.training.data
    for model in settings.models
    if model.training and settings.drift
}
artifacts = (
    Artifacts(
        "artifacts",
        ArtifactsArgs(
            settings.project,
            settings.region,
            settings.artifacts_bucket,
            uploads,
            settings.protect,
            trained,
        ),
        serves,
    )
    if permissions.REGISTER in settings.capabilities
    else None
)

telemetry = Telemetry("telemetry", TelemetryArgs(settings), serves) if settings.sensors else None

access = Access(
    "access", AccessArgs(settings, artifacts.bucket if artifacts else None, telemetry), serves
)

# The deployer is known only once its access is in effect.
deployer = gcp.Provider(
    "deployer",
    project=settings.project,
    zone=zone,
    impersonate_service_account=access.deployer,
)
deployer_vertexops = Provider("deployer-vertexops", impersonate_service_account=access.deployer)
# Whoever may only look reads as himself what the deployer made.
as_deployer = [deployer, deployer_vertexops] if settings.impersonate else as_platform

observability = (
    Observability(
        "observability",
        ObservabilityArgs(settings),
        pulumi.ResourceOptions(providers=as_platform, depends_on=[access.ready]),
    )
    if settings.alerts.told
    else None
)

serving = Serving(
    "serving",
    ServingArgs(
        settings=settings,
        artifacts=artifacts.by_model if artifacts else {},
        platform=platform,
    ),
    pulumi.ResourceOptions(providers=as_deployer, depends_on=[access.ready]),
)

whole: list[pulumi.Resource | None] = [apis, artifacts, telemetry, access, observability, serving]
if settings.federation:
    federation = Federation(
        "federation",
        FederationArgs(settings, settings.federation),
        pulumi.ResourceOptions(providers=as_platform, depends_on=[access.ready]),
    )
    whole.append(federation)
    pulumi.export("identityProviders", federation.providers)

if telemetry and access.pubsub_agent:
    # By now the agent has had its access for as long as a model takes to be deployed.
    routing = Routing(
        "routing",
        RoutingArgs(
            settings, telemetry, access.pubsub_agent, serving.endpoint, serving.deployed_models
        ),
        pulumi.ResourceOptions(providers=as_platform, depends_on=[serving]),
    )
    whole.append(routing)
    pulumi.export("telemetryTopic", telemetry.topic.id)
    pulumi.export("risks", routing.risks.id)
    if settings.device_registry.kind == "clearblade":
        devices = Devices(
            "devices",
            DevicesArgs(
                settings,
                telemetry,
                serving.endpoint,
                serving.dedicated_dns,
                serving.deployed_models,
            ),
            pulumi.ResourceOptions(providers=as_platform, depends_on=[access.ready]),
        )
        whole.append(devices)
        pulumi.export("deviceRegistry", devices.registry)
    else:
        pulumi.export("broker", for_a_broker(settings, telemetry))

if settings.drift and artifacts:
    drift = Drift(
        "drift",
        DriftArgs(
            settings,
            settings.drift,
            artifacts,
            serving,
            observability.channels if observability else (),
            platform,
        ),
        pulumi.ResourceOptions(providers=as_deployer, depends_on=[serving]),
    )
    whole.append(drift)

DestroyGuard(
    "destroy-guard",
    endpoint=serving.endpoint,
    deployed_model_ids=serving.deployed_models.apply(lambda models: [m.id for m in models or ()]),
    # A component counts with all that is in it: nothing of the stack goes before this does.
    opts=pulumi.ResourceOptions(
        provider=as_deployer[1], depends_on=[part for part in whole if part]
    ),
)

pulumi.export("endpoint", serving.endpoint)
pulumi.export("dedicatedDns", serving.dedicated_dns)
pulumi.export("deployedModels", serving.deployed_models)
pulumi.export("deployer", access.deployer)
pulumi.export("telemetry", settings.email(permissions.TELEMETRY))
