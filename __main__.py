"""A predictive-maintenance model on Vertex AI, with least-privilege access.

Two identities: `platform` declares the foundation; `deployer`, which platform becomes, creates the
endpoint and rolls models out, so that each `pulumi up` exercises the role it declared.

Two layers: the foundation says who may do what, and holds all that carries a grant; the rollout
stands on it and follows the models. One stack declares both, or each has a stack of this program
(`layer`): then who rolls out comes in as the deployer, and can change no access.
"""

from pathlib import Path

import pulumi
import pulumi_gcp as gcp

from components import foundation, rollout
from components.configuration import load
from components.fixed import watched
from components.foundation import Providers
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

# Whatever else there is waits for this, through its provider.
credentials = settings.clearblade_credentials
vertexops = Provider(
    "platform-vertexops",
    clearblade_credentials=credentials.get_secret_value() if credentials else None,
)
settled = FixedSettings(
    "settings" if settings.founds else "rollout-settings",
    settings=watched(settings),
    opts=pulumi.ResourceOptions(provider=vertexops),
)
after = pulumi.ResourceOptions(depends_on=[settled])
platform = Providers(
    gcp.Provider(
        "platform",
        project=settings.project,
        zone=settings.zone,
        default_labels=settings.labels or None,
        opts=after,
    ),
    vertexops,
)

ground = (
    foundation.declare(settings, platform)
    if settings.founds
    else foundation.of_another_stack(settings, platform, [settled])
)
parts, deployed = [*ground.parts], pulumi.Output.from_input(())
if settings.rolls_out:
    rolled_out, deployed = rollout.declare(settings, root, ground, platform)
    parts += rolled_out

DestroyGuard(
    "destroy-guard",
    endpoint=ground.endpoint,
    deployed_model_ids=deployed.apply(lambda models: [m.id for m in models or ()]),
    empty=None if settings.rolls_out else True,
    adopt_foreign=settings.adopt_foreign or None,
    # A component counts with all that is in it: nothing of the stack goes before this does.
    opts=pulumi.ResourceOptions(provider=ground.deployer.vertexops, depends_on=parts),
)
