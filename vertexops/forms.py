"""What well-formed values look like, and how to say so; the settings hold theirs to the same."""

from __future__ import annotations

import re
from typing import Final

# Model ids: UploadModelRequest.modelId, discovery document of aiplatform v1. That a model which is
# only looked up may have another id, such as the number Google gives, is why names take any.
FORMS: Final = {
    "endpoint": (
        r"projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/endpoints/(?P<id>[^/]+)",
        "projects/P/locations/L/endpoints/E",
    ),
    "version": (
        r"projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/models/(?P<id>[^/@]+)"
        r"@(?P<version>\d+)",
        "projects/P/locations/L/models/M@V with a version number (RegisteredModel's versionName)",
    ),
    "model": (
        r"projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/models/(?P<id>[^/@]+)"
        r"(@(?P<version>[a-zA-Z0-9-]+))?",
        "projects/P/locations/L/models/M, with @version or @alias or neither",
    ),
    "model id": (
        r"[a-z_][a-z0-9_-]{0,62}",
        "a model id: up to 63 of a-z, 0-9, _ and -, first no digit and no -",
    ),
    "account": (
        r"[a-z0-9-]+@([a-z0-9.:-]+\.iam|developer|appspot)\.gserviceaccount\.com",
        "the e-mail address of a service account",
    ),
    "bucket directory": (r"gs://[a-z0-9][a-z0-9._-]+(/.*)?", "gs://BUCKET/DIRECTORY"),
}


def parse(form: str, value: str) -> dict[str, str]:
    """The named parts of a well-formed value. Raises ValueError saying what it has to be."""
    pattern, said = FORMS[form]
    if match := re.fullmatch(pattern, value):
        return {name: part or "" for name, part in match.groupdict().items()}
    raise ValueError(f"is {value!r}, not {said}")
