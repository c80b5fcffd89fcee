"""What has to exist before the first `pulumi up` of an environment, as a script for `bash -eu`.

The platform identity declares everything else; its own role it cannot declare. Sources: what the
first `up` of a rehearsal calls (tests/rehearsal/test_bootstrap.py carries the script out).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from typing import Any, Final

import yaml

from components import permissions as table
from components.settings import Settings

APIS: Final = tuple(
    f"{api}.googleapis.com" for api in ("cloudresourcemanager", "iam", "serviceusage")
)
"""To make the role, and for the stack to switch on all others."""
KEY_APIS: Final = ("cloudkms.googleapis.com", "iam.googleapis.com")
STORED_BY: Final = ("bigquery.googleapis.com", "storage.googleapis.com")


def role_file(identity: str, capabilities: Iterable[str], in_source: bool) -> dict[str, Any]:
    """The file of a custom role with what `identity` needs on a project, for `gcloud iam roles`.

    Raises ValueError where it needs nothing there.
    """
    project = table.SOURCE_PROJECT if in_source else table.PROJECT
    held = {
        permission
        for role in table.roles(capabilities)
        if role.identity == identity and role.on == project
        for permission in role.permissions
    }
    if not held:
        raise ValueError(f"{identity} needs nothing there")
    return _file(identity, held)


def _file(title: str, held: Iterable[str]) -> dict[str, Any]:
    return {
        "title": f"Predictive maintenance: {title}",
        "stage": "GA",
        "includedPermissions": sorted(held),
    }


def script(settings: Settings) -> Iterator[str]:
    """Lines to be run by an owner of the projects; they may be run again, when settings grow."""
    projects = {settings.project: False, **dict.fromkeys(settings.source_projects, True)}
    owned = [*projects, *({settings.key_project} - projects.keys() - {""})]
    yield f"# Before the first `pulumi up`: run by an owner of {' and of '.join(owned)}."
    for project, in_source in projects.items():
        yield ""
        yield from _project(settings, project, in_source)
    yield ""
    if settings.kms_key:
        yield from _key(settings, settings.kms_key)
        yield ""
    yield from _given(settings)


def _project(settings: Settings, project: str, in_source: bool) -> Iterator[str]:
    yield f"gcloud services enable {' '.join(APIS)} --project={project}"
    capabilities = settings.capabilities_in(project) if in_source else settings.capabilities
    content = role_file(table.PLATFORM, capabilities, in_source)
    yield from _role(settings.role_id(table.PLATFORM), project, content)
    if not in_source and settings.platform_member.startswith("serviceAccount:"):
        yield from _account(settings.email(table.PLATFORM))
    member = shlex.quote(settings.platform_member)
    role = settings.role_name(table.PLATFORM, project)
    yield (
        f"gcloud projects add-iam-policy-binding {project} --member={member} --role={role} "
        "--condition=None > /dev/null"
    )


def _role(id: str, project: str, content: dict[str, Any]) -> Iterator[str]:
    file, of = f"{id}-{project}.yaml", f"{id} --project={project}"
    yield f"cat > {file} <<'END'"
    yield yaml.safe_dump(content, sort_keys=False) + "END"
    yield f"if gcloud iam roles describe {of} > /dev/null 2>&1; then"
    yield f"    gcloud iam roles update {of} --file={file} --quiet"
    yield "else"
    yield f"    gcloud iam roles create {of} --file={file} --quiet"
    yield "fi"


def _key(settings: Settings, key: str) -> Iterator[str]:
    """Who lets Google's agents use the key, and who reads that; and two of these agents, which are
    there once somebody has asked for them (docs storage/docs/getting-service-agent,
    bigquery/docs/customer-managed-encryption)."""
    yield f"gcloud services enable {' '.join(KEY_APIS)} --project={settings.key_project}"
    for role in table.roles(settings.capabilities):
        if role.on == table.KEY:
            content = _file(role.key, role.permissions)
            yield from _role(settings.role_id(role.key), settings.key_project, content)
    yield (
        f"gcloud kms keys add-iam-policy-binding {key} "
        f"--member={shlex.quote(settings.platform_member)} "
        f"--role={settings.role_name(table.PLATFORM_KEY)} > /dev/null"
    )
    project = settings.project
    yield f"gcloud services enable {' '.join(STORED_BY)} --project={project}"
    yield f"gcloud storage service-agent --project={project} > /dev/null"
    yield f"bq show --encryption_service_account --project_id={project} > /dev/null"


def _account(email: str) -> Iterator[str]:
    """The platform's, where it is one: GitHub's jobs cannot become a person or a group."""
    id, _, project = email.removesuffix(".iam.gserviceaccount.com").partition("@")
    yield f"gcloud iam service-accounts describe {email} > /dev/null 2>&1 ||"
    yield f"    gcloud iam service-accounts create {id} --project={project}"


def _given(settings: Settings) -> Iterator[str]:
    """What the stack finds and does not make."""
    yield "# Grants and APIs take some minutes to be in effect. The stack finds, and does not make:"
    yield f"# - {settings.platform_member}, who runs Pulumi"
    if settings.federation and settings.federation.foundation_environment:
        yield "#   (the first time somebody with roles/iam.serviceAccountTokenCreator on it; then"
        yield "#   jobs of the foundation's environment)"
    if settings.preview_member:
        yield f"# - {settings.preview_member}, who previews pull requests"
    for version in settings.versions:
        if version.model.source:
            yield f"# - {version.model.source}"
    for bucket in filter(None, (*settings.source_buckets, settings.own_bucket)):
        yield f"# - gs://{bucket}, with its artifacts"
    if settings.kms_key:
        yield f"# - {settings.kms_key}"
    yield "# - a backend for Pulumi's state, such as a bucket that only the platform may read"
