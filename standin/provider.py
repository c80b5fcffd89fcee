"""The gcp provider as its resource types see it: settings, credentials, and what they share."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pulumi_plugin.kinds import ProviderError
from pulumi_plugin.values import UNKNOWN, Props, is_known
from standin.batching import Batcher
from standin.google import (
    USERINFO,
    Google,
    GoogleError,
    Sleep,
    Token,
    ambient_token,
    impersonated_token,
    new_session,
)

if TYPE_CHECKING:
    import requests

ATTRIBUTION: Final = {"goog-pulumi-provisioned": "true"}
# Environment variables that stand in for configuration, in the official plugin's order.
VARIABLES: Final = {
    "project": (
        "GOOGLE_PROJECT",
        "GOOGLE_CLOUD_PROJECT",
        "GCLOUD_PROJECT",
        "CLOUDSDK_CORE_PROJECT",
    ),
    "region": ("GOOGLE_REGION", "GCLOUD_REGION", "CLOUDSDK_COMPUTE_REGION"),
    "zone": ("GOOGLE_ZONE", "GCLOUD_ZONE", "CLOUDSDK_COMPUTE_ZONE"),
    "accessToken": ("GOOGLE_OAUTH_ACCESS_TOKEN",),
    "impersonateServiceAccount": ("GOOGLE_IMPERSONATE_SERVICE_ACCOUNT",),
    "skipRegionValidation": ("PULUMI_GCP_SKIP_REGION_VALIDATION",),
    "disableGlobalProjectWarning": ("PULUMI_GCP_DISABLE_GLOBAL_PROJECT_WARNING",),
}
# What a resource may leave to the provider, and what is said where the provider has it neither.
NOT_SET: Final = {
    "project": "project: required field is not set",
    "region": "Cannot determine {}: set in this resource, or set provider-level 'region' or "
    "'zone'.",
    "location": "Unable to determine location: region/zone not configured in resource/provider "
    "config",
}


class Provider:
    """Configured once, then used by many threads. `locks` keep writers of one thing apart."""

    def __init__(
        self,
        session: Callable[[], requests.Session] = new_session,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._new_session, self._sleep = session, sleep
        self._config: Props = {}
        self._google: Google | None = None
        self.batcher = Batcher(sleep)
        self.locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def configure(self, inputs: Props) -> None:
        self._config = effective(inputs)
        if is_known(self._config):
            _, self._google = self.identities(self._config)

    def identities(self, config: Props) -> tuple[Google, Google]:
        """Calls as the caller, and as the account to impersonate if there is one."""
        session = self._new_session()
        token = config.get("accessToken")
        source: Token = (lambda: str(token)) if token else ambient_token(session)
        caller = Google(session, source, self._sleep)
        with contextlib.suppress(GoogleError):  # the official plugin only logs who it is
            caller.call("GET", USERINFO)
        account = config.get("impersonateServiceAccount")
        if not account:
            return caller, caller
        return caller, Google(session, impersonated_token(caller, account), self._sleep)

    @property
    def google(self) -> Google:
        if self._google is None:
            raise ProviderError(
                "the provider's configuration is not known yet: it depends on resources that do "
                "not exist"
            )
        return self._google

    @property
    def project(self) -> str | None:
        return self._known("project")

    @property
    def region(self) -> str | None:
        return self._known("region") or (self._known("zone") or "").rpartition("-")[0] or None

    def _known(self, name: str) -> str | None:
        value = self._config.get(name)
        return None if value is UNKNOWN or not value else str(value)

    def knows(self, name: str) -> bool:
        """Whether a setting is there, or is known to be absent."""
        return self._config.get(name) is not UNKNOWN

    def setting(self, name: str, property: str = "") -> str:
        """What the resource leaves to the provider, which must have it, for one of its properties.

        Raises ProviderError without one.
        """
        match name:
            case "region":
                value = self.region
            case "location":  # a zone is a location, and is not made a region of
                value = self._known("region") or self._known("zone")
            case _:
                value = self._known(name)
        if value is None:
            raise ProviderError(NOT_SET[name].format(property or name))
        return value

    def labels(self, inputs: Props) -> dict[str, str]:
        """The labels that a resource gets: the provider's and its own."""
        attribution = {} if self._config.get("addPulumiAttributionLabel") is False else ATTRIBUTION
        return {
            **attribution,
            **(self._config.get("defaultLabels") or {}),
            **(inputs.get("labels") or {}),
        }


def effective(inputs: Props) -> Props:
    """The configuration with what the environment says; the engine sends other types as JSON."""
    config: dict[str, Any] = {
        name: value
        for name, variables in VARIABLES.items()
        for value in (next(filter(None, map(os.environ.get, variables)), None),)
        if value
    }
    config |= {name: value for name, value in inputs.items() if value not in (None, "")}
    for name in ("skipRegionValidation", "disableGlobalProjectWarning"):
        config[name] = str(config.get(name)).lower() in ("1", "t", "true")
    for name in ("defaultLabels", "addPulumiAttributionLabel"):
        if isinstance(config.get(name), str):
            config[name] = json.loads(config[name])
    return config
