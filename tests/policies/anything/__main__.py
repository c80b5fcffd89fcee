"""A plugin that takes every resource of its package, so that the engine can preview any example.

It creates nothing. Outputs that Google would make are unknown in a preview.
"""

from typing import Any

from pulumi_plugin.kinds import Change, Context, Kind, Plugin, Resource
from pulumi_plugin.server import serve
from pulumi_plugin.values import UNKNOWN, Props

ANYTHING = {"name": "anything", "etag": "roles/editor", "email": "a@b", "member": "user:a@b"}
"""Outputs of every resource; as a role, the etag is a broad one."""


class Anything(Kind):
    def diff(self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props) -> Change:
        return Change()

    def preview(self, inputs: Props, old_outputs: Props | None) -> Props:
        return {**dict.fromkeys(ANYTHING, UNKNOWN), **inputs}

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        return "id", {**ANYTHING, **_made(inputs), **inputs}

    def update(
        self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props, context: Context
    ) -> Props:
        return {**ANYTHING, **_made(inputs), **inputs}

    def read(self, id: str, inputs: Props, outputs: Props, context: Context) -> Resource | None:
        return Resource(id, inputs, outputs)

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        pass


def _made(inputs: Props) -> Props:
    """What Google makes of custom roles and accounts."""
    project = inputs.get("project")
    if "roleId" in inputs:
        return {"name": f"projects/{project}/roles/{inputs['roleId']}"}
    if "accountId" in inputs:
        email = f"{inputs['accountId']}@{project}.iam.gserviceaccount.com"
        name = f"projects/{project}/serviceAccounts/{email}"
        return {"name": name, "email": email, "member": f"serviceAccount:{email}"}
    return {}


class Package(Plugin):
    name = "anything"
    version = "99.0.0"

    def configure(self, inputs: Props, context: Context) -> None:
        pass

    def kind(self, token: str) -> Any:
        return Anything()


if __name__ == "__main__":
    serve(Package)
