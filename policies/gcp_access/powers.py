"""What permissions let their holder do, beyond what they say.

Sources: the escalation research that public tools cite, by permission; how many of Google's roles
hold each is counted in tests/policies/test_roles_at_large.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final


def _names(prefix: str, names: str) -> tuple[str, ...]:
    return tuple(f"{prefix}.{name}" for name in names.split())


# fmt: off
IMPERSONATES: Final = frozenset(_names("iam.serviceAccounts",
    "actAs getAccessToken getOpenIdToken implicitDelegation signBlob signJwt"))
"""Enough to work as a service account. Fine on one account, never on a project."""

ESCALATES: Final = frozenset({
    *IMPERSONATES,
    *_names("iam", "serviceAccounts.setIamPolicy serviceAccountKeys.create"),
    "iam.serviceAccountApiKeyBindings.create",
    *_names("iam", "roles.create roles.update denypolicies.delete denypolicies.update"),
    *_names("iam", "accesspolicies.create accesspolicies.update"),
    "iam.googleapis.com/workloadIdentityPoolProviders.update",
    "iam.googleapis.com/workforcePoolProviders.update",
    *_names("resourcemanager.projects", "createPolicyBinding setIamPolicy"),
    *_names("resourcemanager", "folders.setIamPolicy organizations.setIamPolicy"),
    *_names("orgpolicy", "policy.set policies.update"),
    # These run as Google's own agents, which are stronger than nearly everybody.
    *_names("deploymentmanager.deployments", "create update setIamPolicy"),
    *_names("cloudbuild", "builds.create builds.update workerpools.use"),
    *_names("config.deployments", "create update"),
})
"""Enough, on a whole project, to become something stronger in one step."""

GRANTS_ON_PROJECTS: Final = frozenset({
    *_names("resourcemanager", "projects.setIamPolicy folders.setIamPolicy"),
    "resourcemanager.organizations.setIamPolicy",
    # These bind policies that somebody else had to write.
    *_names("resourcemanager.projects", "createPolicyBinding updatePolicyBinding"),
})
"""What a condition on modifiedGrantsByRole limits."""

READS_DATA: Final = frozenset({
    *_names("bigquery.tables", "export getData"),
    *_names("bigtable.tables", "readRows sampleRowKeys"),
    *_names("datastore.entities", "get list"),
    *_names("secretmanager.versions", "access"),
    *_names("spanner.databases", "read select"),
    *_names("storage.objects", "get"),
})
"""What is kept in buckets, datasets, databases and secrets, and not what is told about them."""

STARTS_CODE: Final = frozenset({
    *_names("aiplatform",
        "batchPredictionJobs.create customJobs.create endpoints.deploy "
        "hyperparameterTuningJobs.create nasJobs.create notebookExecutionJobs.create "
        "notebookRuntimeTemplates.create notebookRuntimes.assign persistentResources.create "
        "pipelineJobs.create reasoningEngines.create schedules.create trainingPipelines.create "
        "tuningJobs.create"),
    "appengine.versions.create",
    "batch.jobs.create",
    *_names("clouddeploy", "automations.create releases.create"),
    *_names("cloudfunctions.functions", "create sourceCodeSet update"),
    "cloudscheduler.jobs.create",
    "cloudtasks.tasks.create",
    "composer.environments.create",
    *_names("compute.instances", "create osAdminLogin setMetadata setServiceAccount"),
    "compute.projects.setCommonInstanceMetadata",
    *_names("container.pods", "create exec"),
    "dataflow.jobs.create",
    *_names("dataproc", "clusters.create jobs.create"),
    "datafusion.instances.create",
    "eventarc.triggers.create",
    *_names("notebooks", "instances.create runtimes.create"),
    "osconfig.osPolicyAssignments.create",
    *_names("run.jobs", "create run runWithOverrides update"),
    *_names("run.services", "create update"),
    "tpu.nodes.create",
    *_names("workflows.workflows", "create update"),
    "workstations.workstations.use",
})
"""Launchers: they run code of the holder's choice under a service account."""
# fmt: on

MANAGES_ACCOUNTS: Final = frozenset(
    {
        "iam.serviceAccountKeys.create",
        "iam.serviceAccounts.create",
        "iam.serviceAccounts.setIamPolicy",
    }
)
"""Of somebody who administers service accounts, and so must not work as one too."""

MANAGES_KEYS: Final = frozenset(
    {
        "cloudkms.cryptoKeyVersions.destroy",
        "cloudkms.cryptoKeys.setIamPolicy",
        "cloudkms.keyRings.setIamPolicy",
    }
)
USES_KEYS: Final = frozenset(
    f"cloudkms.cryptoKeyVersions.{name}" for name in ("useToDecrypt", "useToEncrypt", "useToSign")
)


def sets_policy(permission: str) -> bool:
    """Whether it decides who else may do what on a kind of resource."""
    return permission.endswith(".setIamPolicy")


LOOKS: Final = re.compile(
    r".*\.(get\w*|list\w*|search\w*|query\w*|view\w*|check\w*|fetch\w*|lookup\w*|export\w*|test\w*)"
)


def looks(permission: str) -> bool:
    """Whether its holder only sees what is there: it changes nothing, and reads no data."""
    tokens = permission in IMPERSONATES
    return bool(LOOKS.fullmatch(permission)) and permission not in READS_DATA and not tokens


def deletes(permission: str) -> bool:
    return permission.endswith(".delete")


def service(permission: str) -> str:
    """`aiplatform` of aiplatform.endpoints.get; `iam` of iam.googleapis.com/…"""
    return permission.partition(".")[0]


def some(names: Iterable[str], most: int = 12) -> str:
    """Names for a sentence; the rest is counted."""
    listed = sorted(names)
    rest = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + rest
