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
    return {
        "title": f"Predictive maintenance: {identity}",
        "stage": "GA",
        "includedPermissions": sorted(held),
    }


def script(settings: Settings) -> Iterator[str]:
    """Lines to be run by an owner of the projects; they may be run again, when settings grow."""
    projects = {settings.project: False}
    if settings.source_project:
        projects[settings.source_project] = True
    yield f"# Before the first `pulumi up`: run by an owner of {' and of '.join(projects)}."
    for project, in_source in projects.items():
        yield ""
        yield from _project(settings, project, in_source)
    yield ""
    yield from _given(settings)


def _project(settings: Settings, project: str, in_source: bool) -> Iterator[str]:
    file, of = f"{table.PLATFORM}-{project}.yaml", f"{table.PLATFORM} --project={project}"
    content = role_file(table.PLATFORM, settings.capabilities, in_source)
    yield f"gcloud services enable {' '.join(APIS)} --project={project}"
    yield f"cat > {file} <<'END'"
    yield yaml.safe_dump(content, sort_keys=False) + "END"
    yield f"if gcloud iam roles describe {of} > /dev/null 2>&1; then"
    yield f"    gcloud iam roles update {of} --file={file} --quiet"
    yield "else"
    yield f"    gcloud iam roles create {of} --file={file} --quiet"
    yield "fi"
    if not in_source and settings.platform_member.startswith("serviceAccount:"):
        yield from _account(settings.email(table.PLATFORM))
    member = shlex.quote(settings.platform_member)
    role = settings.role_name(table.PLATFORM, in_source)
    yield (
        f"gcloud projects add-iam-policy-binding {project} --member={member} --role={role} "
        "--condition=None > /dev/null"
    )


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
    for bucket in filter(None, (settings.source_artifacts_bucket, settings.own_bucket)):
        yield f"# - gs://{bucket}, with its artifacts"
    yield "# - a backend for Pulumi's state, such as a bucket that only the platform may read"
