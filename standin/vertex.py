"""Types of the `vertex` module."""

from __future__ import annotations

from typing import Final

from pulumi_plugin.values import Props
from standin.fields import DELETION_POLICY, LABELS, PROJECT, Field, at_most_one
from standin.resource import AutoName, Rest, Spec

MACHINE: Final = (
    Field("machineType"),
    Field("acceleratorType"),
    Field("acceleratorCount", "int"),
)
DEPLOYED_MODEL: Final = (
    Field("id"),
    Field("model"),
    Field("modelVersionId"),
    Field("displayName"),
    Field("createTime"),
    Field("serviceAccount"),
    Field("sharedResources"),
    Field("enableAccessLogging", "bool"),
    Field("enableContainerLogging", "bool"),
    Field(
        "automaticResources",
        "objects",
        of=(Field("minReplicaCount", "int"), Field("maxReplicaCount", "int")),
    ),
    Field(
        "dedicatedResources",
        "objects",
        of=(
            Field("machineSpecs", "objects", api="machineSpec", of=MACHINE),
            Field("minReplicaCount", "int"),
            Field("maxReplicaCount", "int"),
            Field(
                "autoscalingMetricSpecs",
                "objects",
                of=(Field("metricName"), Field("target", "int")),
            ),
        ),
    ),
    Field(
        "privateEndpoints",
        "objects",
        of=(
            Field("explainHttpUri"),
            Field("healthHttpUri"),
            Field("predictHttpUri"),
            Field("serviceAttachment"),
        ),
    ),
)
ENDPOINT: Final = Spec(
    "gcp:vertex/aiEndpoint:AiEndpoint",
    noun="Endpoint",
    title="VertexAIEndpoint",
    source="products/vertexai/Endpoint.yaml",
    base="https://{region}-aiplatform.googleapis.com/v1beta1",
    id="projects/{project}/locations/{location}/endpoints/{name}",
    collection="projects/{project}/locations/{location}/endpoints",
    create_query={"endpointId": "{name}"},
    masked=True,
    operations=True,
    autoname=AutoName(),
    fields=(
        Field("name", path=True, new=True),
        PROJECT,
        Field("location", path=True, new=True, required=True),
        # Names the host alone. An import leaves it open, so one that the program gives replaces.
        Field("region", local=True, new=True, zero=None),
        Field("displayName", required=True),
        Field("description"),
        Field("dedicatedEndpointEnabled", "bool"),
        Field(
            "encryptionSpec",
            "object",
            new=True,
            of=(Field("kmsKeyName", required=True),),
        ),
        Field("network", new=True),
        Field(
            "predictRequestResponseLoggingConfig",
            "object",
            of=(
                Field("enabled", "bool"),
                Field("samplingRate", "number"),
                Field("bigqueryDestination", "object", of=(Field("outputUri"),)),
            ),
        ),
        Field(
            "privateServiceConnectConfig",
            "object",
            of=(
                Field("enablePrivateServiceConnect", "bool", required=True, new=True),
                Field("enableSecurePrivateServiceConnect", "bool"),
                Field("projectAllowlists", "strings", api="projectAllowlist"),
                Field("pscAutomationConfigs", "objects", unsent=True),
            ),
        ),
        # The split belongs to whoever rolls models out: without one of its own an update sends the
        # split it last saw, and only the mask keeps that from taking effect.
        Field("trafficSplit", "json", computed=True),
        *LABELS,
        DELETION_POLICY,
        Field("createTime", output=True),
        Field("updateTime", output=True),
        Field("dedicatedEndpointDns", output=True),
        Field("etag", output=True, unsent=True, zero=None),  # never read back either
        Field("deployedModels", "objects", output=True, of=DEPLOYED_MODEL),
        Field("modelDeploymentMonitoringJob", output=True),
    ),
    choices=(
        at_most_one("dedicatedEndpointEnabled", "privateServiceConnectConfig"),
        at_most_one("network", "privateServiceConnectConfig"),
    ),
)


DEPLOYMENT_RESOURCE_POOL: Final = Spec(
    "gcp:vertex/aiDeploymentResourcePool:AiDeploymentResourcePool",
    noun="DeploymentResourcePool",
    title="VertexAIDeploymentResourcePool",
    source="products/vertexai/DeploymentResourcePool.yaml",
    base="https://{region}-aiplatform.googleapis.com/v1beta1",
    id="projects/{project}/locations/{region}/deploymentResourcePools/{name}",
    collection="projects/{project}/locations/{region}/deploymentResourcePools",
    operations=True,
    fields=(
        Field("name", path=True, new=True),
        PROJECT,
        Field("region", path=True, new=True),
        Field(
            "dedicatedResources",
            "object",
            new=True,
            of=(
                Field("machineSpec", "object", required=True, of=MACHINE),
                Field("minReplicaCount", "int", required=True),
                Field("maxReplicaCount", "int"),
                Field(
                    "autoscalingMetricSpecs",
                    "objects",
                    of=(Field("metricName", required=True), Field("target", "int")),
                ),
            ),
        ),
        DELETION_POLICY,
        Field("createTime", output=True),
    ),
    autoname=AutoName(),
)


class Endpoint(Rest):
    spec = ENDPOINT


class DeploymentResourcePool(Rest):
    """Machines that several deployed models share. Its id goes into the body."""

    spec = DEPLOYMENT_RESOURCE_POOL

    def body(self, inputs: Props, outputs: Props, *, update: bool) -> Props:
        pool, name = super().body(inputs, outputs, update=update), inputs["name"]
        return {"deploymentResourcePool": {"name": name, **pool}, "deploymentResourcePoolId": name}

    def outputs(self, id: str, answer: Props, inputs: Props, *, created: bool) -> Props:
        """The state has no region that the provider filled in; an import finds it in the id."""
        found = super().outputs(id, answer, inputs, created=created)
        return found | {"region": inputs.get("region") if inputs else found["region"]}
