"""Types of single settings: what each may be, and what is said of one that cannot be."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
)
from pydantic.alias_generators import to_camel

from pulumi_plugin.kinds import ProviderError
from vertexops import clearblade, forms, machines

# Regional hosts in the discovery document of aiplatform v1 (google-api-python-client 2.202).
# fmt: off
VERTEX_REGIONS: Final = (
    "africa-south1", "asia-east1", "asia-east2", "asia-northeast1", "asia-northeast2",
    "asia-northeast3", "asia-south1", "asia-south2", "asia-southeast1", "asia-southeast2",
    "asia-southeast3", "australia-southeast1", "australia-southeast2", "europe-central2",
    "europe-north1", "europe-north2", "europe-southwest1", "europe-west1", "europe-west10",
    "europe-west12", "europe-west15", "europe-west2", "europe-west3", "europe-west4",
    "europe-west6", "europe-west8", "europe-west9", "me-central1", "me-central2", "me-west1",
    "northamerica-northeast1", "northamerica-northeast2", "southamerica-east1",
    "southamerica-west1", "us-central1", "us-central2", "us-east1", "us-east4", "us-east5",
    "us-east7", "us-south1", "us-west1", "us-west2", "us-west3", "us-west4", "us-west8",
)
# fmt: on
# A model could not be deployed there.
WITHOUT_SERVING: Final = frozenset(VERTEX_REGIONS) - machines.SERVING_CPUS.keys()
NOT_OFFERED: Final = ("ct", "a4x-")
"""How machine types begin that come with TPUs, and A4X (the page of vertexops/machines.py)."""

# gcp-facts/03_custom_roles.md: iam.proto and the provider's own patterns.
ACCOUNT_ID: Final = re.compile(r"(?=.{6,30}$)[a-z]([-a-z0-9]*[a-z0-9])")
ROLE_ID: Final = re.compile(r"[a-zA-Z0-9_.]{3,64}")


NO_IOT_CORE: Final = (
    "Google's IoT Core was switched off on 2023-08-16. There is clearblade (ClearBlade IoT Core, "
    "which keeps its API under credentials of its own), or none: devices publish through a broker "
    "of your own, and the stack exports what that needs"
)


def matches(pattern: re.Pattern[str] | str, wanted: str) -> AfterValidator:
    """A validator of whole strings; `wanted` says what is valid."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"is not {wanted}")
        return value

    return AfterValidator(check)


def _region(value: str) -> str:
    if value not in VERTEX_REGIONS:
        near = nearest(value, VERTEX_REGIONS)
        raise ValueError(f"is not a region that Vertex AI serves; the nearest name is {near}")
    if value in WITHOUT_SERVING:
        near = nearest(value, set(VERTEX_REGIONS) - WITHOUT_SERVING)
        raise ValueError(
            "is a region for which Google lists no serving CPUs (Vertex AI's page of quotas); the "
            f"nearest name of one with some is {near}"
        )
    return value


def _machine(value: str) -> str:
    if value.startswith(NOT_OFFERED):
        raise ValueError(
            "is for TPUs, or sold by the rack, which this stack does not deploy; what comes with "
            "GPUs are g2-, g4-, a2-, a3- and a4- machines (Vertex AI, configure-compute)"
        )
    if value not in machines.CPUS:
        near = nearest(value, machines.CPUS)
        raise ValueError(
            "is no machine that Vertex AI lists for serving (configure-compute), such as "
            f"n1-standard-2; the nearest is {near}"
        )
    return value


def _accelerator(value: str) -> str:
    if value not in machines.SERVING_GPUS:
        raise ValueError(
            "is no accelerator that Vertex AI serves with; the nearest is "
            f"{nearest(value, machines.SERVING_GPUS)}"
        )
    return value


def _no_iot_core(value: Any) -> Any:
    """Whatever people call the registry that Google had."""
    plain = re.sub(r"[^a-z]", "", str(value).lower())
    if re.fullmatch(r"(google|gcp)?(cloud)?iot(core)?(googleapiscom)?", plain):
        raise ValueError(f"is no registry any more: {NO_IOT_CORE}")
    return value


def _clearblade_region(value: str) -> str:
    if value not in forms.CLEARBLADE_REGIONS:
        raise ValueError(
            f"is not a region of ClearBlade's, which are {', '.join(forms.CLEARBLADE_REGIONS)}"
        )
    return value


def _credentials(value: SecretStr) -> SecretStr:
    try:
        clearblade.account(value.get_secret_value(), "they have to be the file's content")
    except ProviderError as error:
        raise ValueError(str(error)) from None
    return value


ProjectId = Annotated[
    str, matches(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", "a project id: 6-30 of a-z, 0-9 and -")
]
BucketName = Annotated[
    str, matches(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]", "a bucket name: 3-63 of a-z, 0-9, - and .")
]
ModelId = Annotated[str, matches(*forms.MODEL_ID)]
ModelName = Annotated[str, matches(*forms.MODEL)]
Member = Annotated[
    str,
    matches(
        r"(user|serviceAccount|group):[^@\s]+@[^@\s]+|principal(Set)?://\S+",
        "a member such as user:ana@example.com, serviceAccount:…, group:… or principal://…",
    ),
]
NamePrefix = Annotated[
    str,
    matches(
        r"((?!goog)[a-z][a-z0-9-]{0,18}-)?",
        "what names may begin with: up to 20 of a-z, 0-9 and -, a letter first, a - last, no goog",
    ),
]
# docs bigquery/docs/datasets and bigquery/docs/tables, "naming"; tables may have more.
DatasetId = Annotated[
    str, matches(r"[A-Za-z0-9_]{1,1024}", "a dataset's id: letters, digits and _")
]
TableId = Annotated[
    str, matches(r"[A-Za-z0-9_]{1,900}", "what a table's id begins with: letters, digits and _")
]
# endpoints.create, endpointId, in the discovery document of aiplatform v1. The gcp plugin's text
# has digits alone, and 10 of them (gcp-facts/05_terraform_pulumi.md); that it refuses others was
# not found. Google's own numbers are int64.
EndpointId = Annotated[
    str,
    matches(
        r"[1-9][0-9]{0,8}|[1-9][0-9]{15,18}|[a-z]([a-z0-9-]{0,61}[a-z0-9])?",
        "1-9 digits without a leading zero, or up to 63 of a-z, 0-9 and -, a letter first and no - "
        "last, or the longer number that Google gave an endpoint",
    ),
]
Region = Annotated[str, AfterValidator(_region)]
MachineType = Annotated[str, AfterValidator(_machine)]
AcceleratorType = Annotated[str, AfterValidator(_accelerator)]
KmsKey = Annotated[str, matches(*forms.KMS_KEY)]
Sensor = Annotated[str, matches(r"[a-z][a-z0-9_]{0,62}", "a column name: a-z, 0-9 and _")]
RegistryKind = Annotated[Literal["none", "clearblade"], BeforeValidator(_no_iot_core)]
ClearBladeRegion = Annotated[str, AfterValidator(_clearblade_region)]
Credentials = Annotated[SecretStr, AfterValidator(_credentials)]
RegisteredId = Annotated[str, matches(*forms.REGISTERED_ID)]
Threshold = Annotated[float, Field(gt=0, le=1)]
Email = Annotated[str, matches(r"[^@\s]+@[^@\s]+\.[^@\s]+", "an address such as ana@example.com")]
TopicName = Annotated[
    str,
    matches(
        r"(?!goog|telemetry)[A-Za-z][A-Za-z0-9._~+%-]{2,254}",
        "a name for a topic of its own: 3-255 letters, digits and -, not beginning with goog or "
        "telemetry",
    ),
]
GitHubId = Annotated[
    str,
    Field(coerce_numbers_to_str=True),
    matches(r"[1-9][0-9]*", "the number that GitHub gives it, which no other one ever gets"),
]
ProjectNumber = Annotated[
    str,
    Field(coerce_numbers_to_str=True),
    matches(r"[1-9][0-9]{3,19}", "a project's number: gcloud projects describe has it"),
]
Branch = Annotated[str, matches(r"[\w.-]+(/[\w.-]+)*", "a branch such as main")]
GitHubEnvironment = Annotated[
    str, matches(r"[\w.-]{1,255}", "an environment's name of letters, digits, _, . and -")
]
PoolId = Annotated[
    str,
    matches(r"(?!gcp-)[a-z0-9-]{4,32}", "a pool id: 4-32 of a-z, 0-9 and -, and no gcp- first"),
]
Route = Annotated[str, matches(*forms.ROUTE)]
Image = Annotated[str, matches(*forms.IMAGE)]
# What all services take that they are given to: docs storage/docs/tags-and-labels. Vertex AI takes
# 64 characters (discovery document, Model.labels).
LabelKey = Annotated[
    str, matches(r"[a-z][a-z0-9_-]{0,62}", "a label's key: up to 63 of a-z, 0-9, _ and -, a first")
]
LabelValue = Annotated[
    str, matches(r"[a-z0-9_-]{0,63}", "a label's value: up to 63 of a-z, 0-9, _ and -")
]
Percent = Annotated[int, Field(ge=0, le=100)]
Replicas = Annotated[int, Field(ge=1, le=machines.MOST_REPLICAS)]
Required = Annotated[int, Field(ge=0, le=machines.MOST_REPLICAS)]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


def nearest(value: str, valid: Iterable[str]) -> str:
    """The valid name most like `value`."""
    return max(sorted(valid), key=lambda other: difflib.SequenceMatcher(None, value, other).ratio())
