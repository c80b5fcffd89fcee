"""What well-formed values look like, and how to say so; the settings hold theirs to the same."""

from __future__ import annotations

import math
from typing import Final

from pulumi_plugin.kinds import Failure
from pulumi_plugin.shapes import Form

ENDPOINT: Final = Form(
    r"projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/endpoints/(?P<id>[^/]+)",
    "projects/P/locations/L/endpoints/E",
)
VERSION: Final = Form(
    r"projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/models/(?P<id>[^/@]+)"
    r"@(?P<version>\d+)",
    "projects/P/locations/L/models/M@V with a version number (RegisteredModel's versionName)",
)
MODEL: Final = Form(
    r"projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/models/(?P<id>[^/@]+)"
    r"(@(?P<version>[a-zA-Z0-9-]+))?",
    "projects/P/locations/L/models/M, with @version or @alias or neither",
)
# UploadModelRequest.modelId, discovery document of aiplatform v1. That a model which is only looked
# up may have another id, such as the number Google gives, is why names take any.
MODEL_ID: Final = Form(
    r"[a-z_][a-z0-9_-]{0,62}",
    "a model id: up to 63 of a-z, 0-9, _ and -, first no digit and no -",
)
ROUTE: Final = Form(r"/\S*", "a path that begins with /")
# EnvVar.name, discovery document of aiplatform v1
VARIABLE: Final = Form(
    r"[A-Za-z_][A-Za-z0-9_]*",
    "a C identifier: letters, digits and _, first no digit",
)
# ModelContainerSpec.imageUri, discovery document of aiplatform v1
IMAGE: Final = Form(
    r"((?P<location>[a-z0-9-]+)-docker\.pkg\.dev/(?P<project>[^/\s]+)/(?P<repository>[^/\s]+)"
    r"|([a-z]+\.)?gcr\.io/[^/\s]+)/[^\s@]+(@(?P<digest>sha256:[0-9a-f]{64}))?",
    "an image in Artifact Registry (REGION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE) or in gcr.io",
)
KMS_KEY: Final = Form(
    r"projects/[a-z][a-z0-9-]{4,28}[a-z0-9]/locations/[a-z0-9-]+"
    r"/keyRings/[a-zA-Z0-9_-]{1,63}/cryptoKeys/[a-zA-Z0-9_-]{1,63}",
    "projects/P/locations/REGION/keyRings/R/cryptoKeys/K, a key without a version",
)
ACCOUNT: Final = Form(
    r"[a-z0-9-]+@([a-z0-9.:-]+\.iam|developer|appspot)\.gserviceaccount\.com",
    "the e-mail address of a service account",
)
MONITORING_JOB: Final = Form(
    r"projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)"
    r"/modelDeploymentMonitoringJobs/(?P<id>[^/]+)",
    "projects/P/locations/L/modelDeploymentMonitoringJobs/J",
)
CHANNEL: Final = Form(
    r"projects/[^/]+/notificationChannels/[^/]+", "projects/P/notificationChannels/C"
)
EMAIL: Final = Form(r"[^@\s]+@[^@\s]+\.[^@\s]+", "an e-mail address")
FILE: Final = Form(r"gs://[a-z0-9][a-z0-9._-]+/.*[^/]", "gs://BUCKET/FILE")
DIRECTORY: Final = Form(r"gs://[a-z0-9][a-z0-9._-]+(/.*)?", "gs://BUCKET/DIRECTORY")
DIGEST: Final = Form(r"[0-9a-f]{32,128}", "a hex digest such as SHA-256, in lower case")
ALIAS: Final = Form(
    r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]",
    "2 to 128 letters, digits and hyphens, first a lower-case letter",
)

# docs.clearblade.com/iotcore, requirements
REGISTERED_ID: Final = Form(
    r"(?!goog)[a-zA-Z][-a-zA-Z0-9._+~%]{2,254}",
    "3 to 255 letters, digits and -._+~%, first a letter, and not beginning with goog",
)
CLEARBLADE_REGIONS: Final = ("asia-east1", "europe-west1", "us-central1")
REGISTRY: Final = Form(
    r"projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/registries/(?P<id>[^/]+)",
    "projects/P/locations/L/registries/R",
)
DEVICE: Final = Form(
    r"(?P<registry>projects/[^/]+/locations/[^/]+/registries/[^/]+)/devices/(?P<id>[^/]+)",
    "projects/P/locations/L/registries/R/devices/D",
)
TOPIC: Final = Form(
    r"projects/(?P<project>[^/]+)/topics/(?P<id>[^/]+)", "a topic: projects/P/topics/T"
)


def within(value: object, allowed: tuple[float, float], at: str) -> list[Failure]:
    """What is wrong with the value of the property `at`; only a number can be out of bounds."""
    least, most = allowed
    if not isinstance(value, int | float) or least <= value <= most:
        return []
    said = f"{least} to {most}" if most < math.inf else f"at least {least}"
    return [Failure(at, f"is {value}, not {said}")]
