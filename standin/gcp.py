"""The plugin: its configuration, its credentials, and its resource types."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pulumi_plugin.kinds import Change, Context, Failure, Kind, Plugin, ProviderError
from pulumi_plugin.values import UNKNOWN, Props, changed_keys, is_known
from standin import iam, kms, pubsub, secretmanager
from standin.allow import Policies
from standin.artifactregistry import Repository
from standin.batching import Batcher
from standin.bigquery import Dataset, DatasetMember, Table
from standin.bindings import AuditConfig, Binding
from standin.buckets import Bucket
from standin.deny import DenyPolicy
from standin.functions import FUNCTIONS
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
from standin.iam import Member
from standin.keys import AccountKey
from standin.kms import CryptoKey, KeyRing
from standin.logs import Metric, ProjectSink
from standin.monitoring import AlertPolicy, Dashboard, NotificationChannel
from standin.objects import BucketObject
from standin.orgpolicy import Policy
from standin.pools import Pool, Provider
from standin.projects import Account, CustomRole, Service, ServiceIdentity
from standin.pubsub import Schema, Subscription, Topic
from standin.resource import NOT_SET, Declared
from standin.secretmanager import Secret, SecretVersion
from standin.slo import CustomService, Slo
from standin.vertex import DeploymentResourcePool, Endpoint

if TYPE_CHECKING:
    import requests

VERSION: Final = "10.2.0"
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
NO_PROJECT: Final = """\
unable to detect a global setting for GCP Project.
Pulumi will rely on per-resource settings for this operation.
Set the GCP Project by using:
    `pulumi config set gcp:project <project>`
If you would like to disable this warning use:
    `pulumi config set gcp:disableGlobalProjectWarning true`"""
NO_CREDENTIALS: Final = """\
could not validate provider configuration: failed to load application credentials.
To use your default gcloud credentials, run:
    `gcloud auth application-default login`
See https://www.pulumi.com/registry/packages/gcp/installation-configuration/ for details.
Expanded error message: """
WRONG_REGION: Final = """\
region "{region}" is not available for project "{project}".
Please see \
https://cloud.google.com/compute/docs/regions-zones/viewing-regions-zones\
#viewing_a_list_of_available_regions for a list of available regions"""
TARGETS: Final = (
    iam.PROJECT_TARGET,
    iam.ACCOUNT_TARGET,
    iam.BUCKET_TARGET,
    kms.KEY_TARGET,
    secretmanager.SECRET_TARGET,
    iam.ENDPOINT_TARGET,
    iam.TABLE_TARGET,
    pubsub.TOPIC_TARGET,
    pubsub.SUBSCRIPTION_TARGET,
)
KINDS: Final[tuple[Callable[[Gcp], Declared], ...]] = (
    Service,
    ServiceIdentity,
    CustomRole,
    Account,
    AccountKey,
    Binding,
    AuditConfig,
    Pool,
    Provider,
    DenyPolicy,
    Policy,
    KeyRing,
    CryptoKey,
    Secret,
    SecretVersion,
    Repository,
    DeploymentResourcePool,
    Bucket,
    BucketObject,
    Dataset,
    DatasetMember,
    Table,
    Endpoint,
    Schema,
    Topic,
    Subscription,
    AlertPolicy,
    NotificationChannel,
    Dashboard,
    CustomService,
    Slo,
    Metric,
    ProjectSink,
)


class Gcp(Plugin):
    name = "gcp"
    version = VERSION

    def __init__(
        self,
        session: Callable[[], requests.Session] = new_session,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._new_session, self._sleep = session, sleep
        self._config: Props = {}
        self._google: Google | None = None
        self.policies, self.batcher = Policies(self), Batcher(sleep)
        members: list[Declared] = [Member(self, target) for target in TARGETS]
        kinds = members + [kind(self) for kind in KINDS]
        self._kinds = {kind.spec.token: kind for kind in kinds}

    def check_config(self, inputs: Props, context: Context) -> tuple[Props, list[Failure]]:
        """Credentials and region are tried as in the official plugin: with a client of their own.

        A region that is not there is a warning, and a zone is never looked up (pulumi-gcp,
        provider/resources.go, preConfigureCallbackWithLogger, and the texts in provider/errors).
        """
        config = _effective(inputs)
        project, region = config.get("project"), config.get("region")
        if not is_known(config):
            return inputs, []
        if not project:
            if not config.get("disableGlobalProjectWarning"):
                context.warn(NO_PROJECT)
            return inputs, []
        try:
            _, google = self._identity(config)
        except ProviderError as error:
            return inputs, [Failure("", f"{NO_CREDENTIALS}{error}")]
        if not region or config.get("skipRegionValidation"):
            return inputs, []
        url = f"https://compute.googleapis.com/compute/v1/projects/{project}/regions"
        try:
            regions = [item["name"] for item in google.call("GET", url).get("items", [])]
        except ProviderError as error:
            context.warn(f"failed to get regions list: failed to list regions: {error}")
            return inputs, []
        if region not in regions:
            context.warn(WRONG_REGION.format(region=region, project=project))
        return inputs, []

    def diff_config(self, old_inputs: Props, inputs: Props) -> Change:
        return Change(updates=changed_keys(old_inputs, inputs))

    def configure(self, inputs: Props, context: Context) -> None:
        self._config = _effective(inputs)
        if is_known(self._config):
            _, self._google = self._identity(self._config)

    def _identity(self, config: Props) -> tuple[Google, Google]:
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

    @property
    def tokens(self) -> tuple[str, ...]:
        return tuple(sorted(self._kinds))

    def kind(self, token: str) -> Kind:
        if token not in self._kinds:
            known = "\n".join(f"  {known}" for known in self.tokens)
            raise ProviderError(
                f"{token} is not one of the resource types of the stand-in for the gcp provider; "
                f"install the official plugin, or use one of these:\n{known}"
            )
        return self._kinds[token]

    def invoke(self, token: str, arguments: Props, context: Context) -> Props:
        if token not in FUNCTIONS:
            raise ProviderError(f"the stand-in for the gcp provider has no function {token}")
        return FUNCTIONS[token](self, arguments)


def _effective(inputs: Props) -> Props:
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
