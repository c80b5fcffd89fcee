"""The plugin: its checks of a configuration, and its resource types and functions by token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pulumi_plugin.kinds import Context, Failure, Kind, Plugin, ProviderError
from pulumi_plugin.values import Props, is_known
from standin import iam, kms, pubsub, secretmanager
from standin.artifactregistry import Repository
from standin.bigquery import Dataset, DatasetMember, Table
from standin.bindings import AuditConfig, Binding
from standin.buckets import Bucket
from standin.deny import DenyPolicy
from standin.functions import FUNCTIONS
from standin.iam import Member
from standin.keys import AccountKey
from standin.kms import CryptoKey, KeyRing
from standin.logs import Metric, ProjectSink
from standin.monitoring import AlertPolicy, Dashboard, NotificationChannel
from standin.objects import BucketObject
from standin.orgpolicy import Policy
from standin.pools import Pool, PoolProvider
from standin.projects import Account, CustomRole, Service, ServiceIdentity
from standin.provider import Provider, effective
from standin.pubsub import Schema, Subscription, Topic
from standin.resource import Declared
from standin.secretmanager import Secret, SecretVersion
from standin.slo import CustomService, Slo
from standin.vertex import DeploymentResourcePool, Endpoint

VERSION: Final = "10.2.0"
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
KINDS: Final[tuple[Callable[[Provider], Declared], ...]] = (
    Service,
    ServiceIdentity,
    CustomRole,
    Account,
    AccountKey,
    Binding,
    AuditConfig,
    Pool,
    PoolProvider,
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

    def __init__(self, provider: Provider | None = None) -> None:
        self.provider = provider or Provider()
        kinds: list[Declared] = [Member(self.provider, target) for target in TARGETS]
        kinds += [kind(self.provider) for kind in KINDS]
        self._kinds = {kind.spec.token: kind for kind in kinds}

    def check_config(self, inputs: Props, context: Context) -> tuple[Props, list[Failure]]:
        """Credentials and region are tried as in the official plugin: with a client of their own.

        A region that is not there is a warning, and a zone is never looked up (pulumi-gcp,
        provider/resources.go, preConfigureCallbackWithLogger, and the texts in provider/errors).
        """
        config = effective(inputs)
        project, region = config.get("project"), config.get("region")
        if not is_known(config):
            return inputs, []
        if not project:
            if not config.get("disableGlobalProjectWarning"):
                context.warn(NO_PROJECT)
            return inputs, []
        try:
            _, google = self.provider.identities(config)
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

    def configure(self, inputs: Props, context: Context) -> None:
        self.provider.configure(inputs)

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
        return FUNCTIONS[token](self.provider, arguments)
