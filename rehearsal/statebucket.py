"""The state bucket: made once, with a state in files; used by other stacks; not lost by a slip."""

from __future__ import annotations

import base64
import json
import os
import re
import runpy
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pulumi

from access.adopt import adoption
from components import state
from rehearsal import callers, toolchain
from rehearsal.adopting import looks, served
from rehearsal.engine import EngineError
from rehearsal.report import StageFailed
from rehearsal.sandbox import Google, GoogleError, Sandbox
from rehearsal.toolchain import ROOT, GcpPlugin

PROJECT: Final = "iot-pulumi"
REGION: Final = "us-central1"
BUCKET: Final = f"{PROJECT}-pulumi-state"
KEY: Final = f"projects/{PROJECT}/locations/{REGION}/keyRings/{state.RING}/cryptoKeys/{state.KEY}"
OWNER: Final = "owner@example.com"
WRITERS: Final = "platform@example.com"
READERS: Final = "pull-requests@example.com"
"""Groups of people; pipelines come as accounts."""
ROLLOUT: Final = f"rollout@{PROJECT}.iam.gserviceaccount.com"
PREVIEW: Final = f"preview@{PROJECT}.iam.gserviceaccount.com"
SERVICES: Final = tuple(
    f"{name}.googleapis.com" for name in ("cloudkms", "cloudresourcemanager", "iam", "storage")
)
PROPAGATED: Final = 600
"""Seconds after which a grant is in effect."""
FORBIDDEN: Final = 403
STORAGE: Final = "https://storage.googleapis.com"
KMS: Final = "https://cloudkms.googleapis.com/v1"


def program() -> None:
    """`state/__main__.py`, as `pulumi up` in that folder runs it."""
    runpy.run_path(str(ROOT / "state" / "__main__.py"), run_name="__main__")


def seed() -> dict[str, Any]:
    """A project of its own, with its owner; who is to use the bucket may do nothing yet."""
    people = [callers.colleague(OWNER), person(WRITERS), person(READERS)]
    number = "300000000003"
    return {
        "organization": {"id": "1"},
        "projects": [
            {"id": PROJECT, "number": number, "parent": "organizations/1", "services": SERVICES}
        ],
        "grants": [
            {"resource": f"projects/{PROJECT}", "role": "roles/owner", "member": member}
            for member in (people[0].member, f"user:{OWNER}")
        ],
        **callers.seed(people, {number: PROJECT}),
        "accounts": [
            {"project": PROJECT, "id": email.partition("@")[0]} for email in (ROLLOUT, PREVIEW)
        ],
    }


def person(group: str) -> callers.Caller:
    """Somebody of a group."""
    return callers.colleague(f"somebody-of-{group}", [group])


@dataclass
class Keeper:
    """Whoever sets the bucket up, with Pulumi's own CLI in a copy of the folder."""

    sandbox: Sandbox
    folder: Path
    variables: Mapping[str, str]

    def pulumi(self, *arguments: str, **variables: str) -> str:
        """What the CLI prints; `variables` go before its own. Raises EngineError."""
        done = subprocess.run(
            [toolchain.pulumi_cli(), *arguments, "--color", "never"],
            cwd=self.folder,
            env={**os.environ, **self.variables, **self.sandbox.mark, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise EngineError(f"pulumi {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def judged(self, *arguments: str) -> str:
        """The same, judged by the policy pack. Raises EngineError, StageFailed."""
        said = self.pulumi(*arguments, "--policy-pack", str(ROOT / "policies"))
        if "[advisory]" in said or "[mandatory]" in said:
            raise StageFailed("the policy pack has a finding", said)
        return said


@contextmanager
def opened(plugin: GcpPlugin) -> Iterator[Keeper]:
    """A cloud, and a stack that is not up yet, with its state in files."""
    with ExitStack() as until_the_end:
        sandbox = until_the_end.enter_context(Sandbox(seed()))
        folder = sandbox.directory / "state"
        shutil.copytree(ROOT / "state", folder, ignore=shutil.ignore_patterns("__pycache__"))
        (sandbox.directory / "files").mkdir()
        path = [
            str(plugin.path.parent),
            str(ROOT / "rehearsal" / "bin"),
            os.path.dirname(sys.executable),
            os.environ.get("PATH", ""),
        ]
        variables = {
            **sandbox.environment(callers.colleague(OWNER)),
            **until_the_end.enter_context(served(program)),
            "PATH": os.pathsep.join(path),
            "PULUMI_HOME": str(sandbox.directory / "home"),
            "PULUMI_BACKEND_URL": f"file://{sandbox.directory / 'files'}?metadata=skip",
            "PULUMI_CONFIG_PASSPHRASE": secrets.token_hex(16),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_PYTHON_CMD": sys.executable,
        }
        yield Keeper(sandbox, folder, variables)


def summary(said: str) -> str:
    """The counts that the CLI ends with, such as `13 created`."""
    return ", ".join(re.findall(r"^    [+=]? ?(\d+ (?:created|unchanged))$", said, re.MULTILINE))


def configure(keeper: Keeper) -> None:
    """What docs/how-to/state.md has people type."""
    keeper.pulumi("stack", "init", "state")
    keeper.pulumi("config", "set", "project", PROJECT)
    for key, group, account in (("writers", WRITERS, ROLLOUT), ("readers", READERS, PREVIEW)):
        members = (callers.member(f"group:{group}"), f"serviceAccount:{account}")
        for number, member in enumerate(members):
            keeper.pulumi("config", "set", "--path", f"{key}[{number}]", member)


def demand_uses(keeper: Keeper) -> str:
    """Writers write and seal; readers read and open, and nothing else. Raises StageFailed."""
    keeper.sandbox.wait(PROPAGATED)
    writer, reader = (keeper.sandbox.google(account) for account in (ROLLOUT, PREVIEW))
    upload = f"{STORAGE}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name=tried.json"
    there = f"{STORAGE}/storage/v1/b/{BUCKET}/o/tried.json"
    for content in (b"1", b"2"):
        writer.call("POST", upload, content)
    sealed = writer.call("POST", f"{KMS}/{KEY}:encrypt", {"plaintext": _text(b"a secret")})
    opened = reader.call("POST", f"{KMS}/{KEY}:decrypt", {"ciphertext": sealed["ciphertext"]})
    if opened["plaintext"] != _text(b"a secret"):
        raise StageFailed("what was sealed does not open", str(opened))
    if not reader.call("GET", there)["kmsKeyName"].startswith(KEY):
        raise StageFailed("the state is not sealed with its own key")
    versions = reader.call("GET", f"{STORAGE}/storage/v1/b/{BUCKET}/o?versions=true")["items"]
    if len(versions) != 2:
        raise StageFailed("what was overwritten is gone", str(versions))
    for verb, url, body in (
        ("POST", upload, b"3"),
        ("DELETE", there, None),
        ("POST", f"{KMS}/{KEY}:encrypt", {"plaintext": _text(b"mine")}),
    ):
        _demand_forbidden(reader, verb, url, body)
    _demand_forbidden(writer, "DELETE", f"{STORAGE}/storage/v1/b/{BUCKET}", None)
    _demand_forbidden(writer, "POST", f"{KMS}/{KEY}/cryptoKeyVersions/1:destroy", {})
    return "readers open and read, and change nothing"


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _demand_forbidden(who: Google, verb: str, url: str, body: Any) -> None:
    try:
        who.call(verb, url, body)
    except GoogleError as error:
        if error.status == FORBIDDEN:
            return
        raise
    raise StageFailed(f"{verb} {url} went through")


def demand_login(keeper: Keeper) -> str:
    """Pulumi itself keeps a stack there: writers change it, readers preview. Raises StageFailed."""
    keeper = replace(keeper, folder=keeper.sandbox.directory / "ours")
    keeper.folder.mkdir()
    (keeper.folder / "Pulumi.yaml").write_text("name: ours\nruntime: python\n")
    with served(lambda: pulumi.export("kept", BUCKET)) as program:
        backend = {"PULUMI_BACKEND_URL": f"gs://{BUCKET}", **program}
        reader, writer = (
            {**keeper.sandbox.environment(person(group)), **backend} for group in (READERS, WRITERS)
        )
        up = ("up", "--yes", "--skip-preview", "--stack", "ours")
        keeper.pulumi("stack", "init", "ours", **writer)
        keeper.pulumi(*up, **writer)
        kept = keeper.pulumi("stack", "output", "kept", "--stack", "ours", **reader)
        if kept.strip() != BUCKET:
            raise StageFailed("a reader reads another state", kept)
        keeper.pulumi("preview", "--expect-no-changes", "--stack", "ours", **reader)
        _demand_refused(keeper, "storage.objects.create", *up, **reader)
    return "a writer brings it up; a reader previews it, and cannot"


def demand_found_again(keeper: Keeper) -> str:
    """The files with the bucket's own state are lost: docs/how-to/adopt.md. Raises StageFailed."""
    files = keeper.sandbox.directory / "again"
    files.mkdir()
    again = {"PULUMI_BACKEND_URL": f"file://{files}?metadata=skip"}
    keeper.pulumi("stack", "init", "state", **again)
    preview = json.loads(keeper.pulumi("preview", "--json", "--show-sames", **again))
    found = adoption(preview, looks(keeper.sandbox.google(OWNER)))
    (files / "adopt.json").write_text(json.dumps(found.file))
    file = str(files / "adopt.json")
    keeper.pulumi("import", "--file", file, "--yes", "--generate-code=false", **again)
    said = keeper.pulumi("up", "--yes", "--skip-preview", **again)
    if re.search(r"\b(replaced|deleted)\b", said):
        raise StageFailed("something was not kept", said)
    keeper.pulumi("preview", "--expect-no-changes", **again)
    taken = [entry["type"].rpartition(":")[2] for entry in found.file["resources"] if "id" in entry]
    return f"taken over: {', '.join(taken)}"


def demand_kept(keeper: Keeper) -> str:
    """Protected first; without that, a bucket that is not empty stays. Raises StageFailed."""
    destroy = ("destroy", "--yes", "--skip-preview")
    _demand_refused(keeper, "protected", *destroy)
    keeper.pulumi("config", "set", "protect", "false")
    keeper.pulumi("up", "--yes", "--skip-preview")
    _demand_refused(keeper, "containing objects without `force_destroy`", *destroy)
    owner = keeper.sandbox.google(OWNER)
    objects = f"{STORAGE}/storage/v1/b/{BUCKET}/o"
    for item in owner.call("GET", f"{objects}?versions=true")["items"]:
        at = f"{objects}/{quote(item['name'], safe='')}?generation={item['generation']}"
        owner.call("DELETE", at)
    keeper.pulumi(*destroy)
    left = keeper.sandbox.control("GET", "/state")
    if left.get("buckets"):
        raise StageFailed("the bucket is still there", str(left["buckets"]))
    versions = owner.call("GET", f"{KMS}/{KEY}/cryptoKeyVersions")["cryptoKeyVersions"]
    if {version["state"] for version in versions} != {"DESTROY_SCHEDULED"}:
        raise StageFailed("the key can still be used", str(versions))
    return "refused while protected, and while there is a state; the key goes in 30 days"


def _demand_refused(keeper: Keeper, why: str, *arguments: str, **variables: str) -> None:
    try:
        keeper.pulumi(*arguments, **variables)
    except EngineError as error:
        if why in str(error):
            return
        raise
    raise StageFailed(f"pulumi {' '.join(arguments)} went through")
