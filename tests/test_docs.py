"""Every page for people: what it links to is there, and each of its commands is run by a test."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console

from components import permissions as table
from rehearsal import manual
from rehearsal.engine import stack_program
from rehearsal.report import Report
from rehearsal.run import Options, Rehearsal, opened
from tests.access.test_answer import denied
from tests.rehearsal.previews import carry_out
from tests.workflows import ROOT, Command

DOCS: Final = ROOT / "docs"
PAGES: Final = sorted(
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()
    if not name.startswith("tests/data/") and (ROOT / name).exists()
)  # fmt: skip

WHOLE_PAGES: Final = {
    "simulator/README.md": "tests/simulator/test_readme.py runs its examples in its order",
    "docs/alerts.md": "asks Google; tests/components/test_alerts.py has the simulator read them",
}
HERE: Final = {
    ".venv/bin/python -m access role platform --stack staging > platform.yaml": "",
    ".venv/bin/python -m access bootstrap staging": "gcloud iam roles create",
    ".venv/bin/python -m access report": "| deployer |",
    ".venv/bin/python -m access explain up.log --stack staging": "deployer lacks",
}
"""With a part of what it prints."""
ON_A_CLOUD: Final = (
    "pulumi stack select --create staging",
    "pulumi preview --policy-pack policies",
    "pulumi stack export > before.json",
    "pulumi up --policy-pack policies",
    "pulumi stack export > after.json",
    ".venv/bin/python -m access diff before.json after.json",
    "pulumi up 2>&1 | tee up.log",
    "pulumi up --refresh --policy-pack policies",
    "pulumi cancel --yes",
    "pulumi stack export | .venv/bin/python -m access recover > recovered.json",
    "pulumi stack import --file recovered.json",
    "pulumi stack export > state.json",
    "pulumi policy analyze --file state.json --policy-pack policies",
)
"""In this order, as the platform, from a stack that is not there yet."""
AS_THE_PREVIEW_ACCOUNT: Final = (
    "pulumi preview --stack staging --policy-pack policies",
    "pulumi preview --stack staging --json --show-sames > preview.json",
    ".venv/bin/python -m access diff preview.json",
    "PULUMI_DEBUG_COMMANDS=true pulumi preview --stack staging --json --show-sames "
    "--event-log events.json --policy-pack policies > preview.json",
    ".venv/bin/python -m access comment preview.json events.json",
    "PREDICTIVE_MAINTENANCE_IMPERSONATE=false pulumi preview --stack staging "
    "--refresh --run-program --policy-pack policies",
    "pulumi config set --secret clearbladeCredentials < credentials.json",
)
"""After that."""
REHEARSALS: Final = "tests/rehearsal/test_rehearsals.py::test_"
CRASHES: Final = "tests/rehearsal/test_crashes.py::test_"
TRIED: Final = f"{REHEARSALS}a_canary_is_promoted_and_rolled_back_and_bad_ones_are_stopped"
MISSING: Final = f"{REHEARSALS}what_is_missing_shows_as_googles_own_error"
CAUSES: Final = "tests/rehearsal/test_causes.py::test_every_cause_is_explained_and_cured"
KEPT: Final = (
    "tests/rehearsal/test_endings.py::"
    "test_a_kept_cloud_is_gone_on_with_and_all_that_stays_until_it_is_ended"
)
TIGHT: Final = "tests/rehearsal/test_prove.py::test_every_role_is_tight_"
SET_UP: Final = (
    "tests/rehearsal/test_official_command_lines.py::"
    "test_the_tutorials_setup_gives_the_platform_the_role_that_is_rehearsed"
)
KEYED: Final = (
    "tests/rehearsal/test_official_command_lines.py::"
    "test_a_key_is_made_and_disabled_and_says_who_uses_it"
)
ADOPTED: Final = (
    "tests/rehearsal/test_adoption.py::test_an_endpoint_made_by_hand_is_taken_over_while_it_answers"
)
NEW: Final = "tests/rehearsal/test_template.py::test_a_new_project_has_the_answers_and_previews"
STATE: Final = (
    "tests/rehearsal/test_state_bucket.py::test_the_state_bucket_comes_up_keeps_states_and_stays"
)
SUMMARISED: Final = "tests/test_workflows.py::test_what_is_rehearsed_is_summarised"
JUDGED: Final = "tests/policies/test_report.py::test_a_person_starts_it_from_the_projects_folder"
TWO: Final = "tests/rehearsal/test_layers.py::test_a_stack_becomes_two_while_it_serves"
ALONE: Final = "tests/policies/test_alone.py::test_its_own_requirements_are_enough"
BY_OTHER_TESTS: Final = {
    "make rehearse": f"{REHEARSALS}staging_is_rehearsed_from_preview_to_nothing_left",
    "make rehearse STACK=prod": f"{REHEARSALS}prod_is_rehearsed_and_refuses_to_be_destroyed",
    "make model": SUMMARISED,
    "make policies": SUMMARISED,
    "make faults": f"{CRASHES}under_faults_the_stack_comes_up_or_says_why_and_comes_up_then",
    "make crash": f"{CRASHES}a_first_up_that_was_killed_is_finished_by_the_next_one",
    "rehearsal up staging --without aiplatform.endpoints.create": MISSING,
    "rehearsal up staging --without iam.serviceAccounts.actAs": MISSING,
    "rehearsal up staging --without serving:storage.objects.get": MISSING,
    "rehearsal up staging --without platform:iam.serviceAccounts.create": MISSING,
    "rehearsal up staging --without-api aiplatform.googleapis.com": MISSING,
    "rehearsal up prod --with-grant roles/aiplatform.user":
        f"{REHEARSALS}a_broad_grant_in_prod_is_stopped_before_anything_is_created",
    "rehearsal up staging --set "
    "platformMember=serviceAccount:pipeline@acme-ci.iam.gserviceaccount.com":
        f"{REHEARSALS}a_pipeline_deploys_the_stack_as_itself",
    "rehearsal up staging --set machineType=n1-standard-4":
        "tests/rehearsal/test_every_setting.py::"
        "test_each_setting_changes_without_an_outage_or_is_refused_beforehand",
    "rehearsal up staging --set "
    "'federation={ownerId: 1, repositoryId: 2, rolloutEnvironment: staging}'":
        f"{TIGHT}from_the_least_to_everything",
    "rehearsal up staging --faults 7": f"{CRASHES}a_rehearsal_under_faults_goes_on_to_nothing_left",
    "rehearsal up staging --slow":
        f"{CRASHES}a_rehearsal_as_slow_as_google_takes_its_time_on_the_clouds_clock",
    "rehearsal up staging --keep": KEPT,
    "rehearsal up staging --only predict": KEPT,
    "rehearsal up staging --from refresh": KEPT,
    "rehearsal end staging": KEPT,
    "rehearsal prove staging": f"{TIGHT}over_the_whole_life",
    "rehearsal prove prod": f"{TIGHT}over_the_whole_life",
    "rehearsal ablate staging": "tests/rehearsal/test_ablate.py::test_every_grant_is_needed",
    "rehearsal scenario registry-editor-only":
        f"{REHEARSALS}the_threads_story_is_played_and_cured",
    "rehearsal scenario model-update": f"{REHEARSALS}a_model_update_fails_no_prediction",
    "rehearsal scenario canary": TRIED,
    "pulumi stack output rolledOut": TRIED,
    "rehearsal scenario pull-request":
        f"{REHEARSALS}a_reviewer_sees_what_a_pull_request_changes_and_needs_no_spare_permission",
    "rehearsal up prod": f"{REHEARSALS}prod_is_rehearsed_and_refuses_to_be_destroyed",
    "rehearsal scenario two-layers": TWO,
    "rehearsal scenario two-stacks":
        "tests/rehearsal/test_layers.py::test_two_stacks_stand_beside_each_other_in_a_project",
    "rehearsal scenario three-regions":
        "tests/rehearsal/test_layers.py::test_three_regions_stand_beside_each_other",
    "pulumi up --stack prod           # as the platform": TWO,
    "pulumi up --stack prod-rollout   # as whoever may become the deployer": TWO,
    "pulumi stack export --stack prod | .venv/bin/python -m access split --to prod-rollout": TWO,
    ".venv/bin/python policies report preview.json": JUDGED,
    "pulumi stack export | .venv/bin/python policies report -": JUDGED,
    "rehearsal scenario devices":
        f"{REHEARSALS}devices_are_told_where_to_ask_and_no_key_is_shown",
    "rehearsal scenario all": CAUSES,
    "rehearsal scenario no-act-as": CAUSES,
    "access verify staging":
        "tests/rehearsal/test_verify.py::"
        "test_the_command_line_makes_the_test_endpoint_and_prints_data",
    "pulumi stack export | .venv/bin/python -m access doubles":
        "tests/access/test_recover.py::test_the_command_looks_up_what_google_names",
    "gcloud services enable cloudresourcemanager.googleapis.com iam.googleapis.com "
    "serviceusage.googleapis.com --project iot-staging": SET_UP,
    "gcloud iam roles create platform --project iot-staging --file platform.yaml": SET_UP,
    "gcloud projects add-iam-policy-binding iot-staging --member user:you@example.com "
    "--role projects/iot-staging/roles/platform": SET_UP,
    "gcloud kms keyrings create serving --location=us-central1 --project=iot-keys": KEYED,
    "gcloud kms keys create staging --keyring=serving --location=us-central1 "
    "--project=iot-keys --purpose=encryption": KEYED,
    "gcloud kms keys get-iam-policy staging --keyring=serving --location=us-central1 "
    "--project=iot-keys": KEYED,
    "gcloud kms keys versions disable 1 --key=staging --keyring=serving "
    "--location=us-central1 --project=iot-keys": KEYED,
    "rehearsal scenario adopt": ADOPTED,
    "access adopt preview.json > adopt.json":
        "tests/access/test_adopt.py::"
        "test_the_command_prints_the_file_and_says_the_rest_beside_it",
    "pulumi stack init staging": ADOPTED,
    "pulumi preview --json --show-sames > preview.json": ADOPTED,
    "pulumi import --file adopt.json --generate-code=false": ADOPTED,
    "pulumi preview": ADOPTED,
    "mkdir predictive-maintenance && cd predictive-maintenance": NEW,
    "pulumi new https://github.com/OWNER/REPOSITORY --stack staging": NEW,
    "pulumi new https://github.com/OWNER/REPOSITORY --stack staging --yes "
    "-c project=my-project -c platformMember=user:me@example.com "
    "-c previewMember=user:me@example.com -c endpointId=4242": NEW,
    "git archive --prefix=access-pack/ HEAD:policies | tar -x -C ../their-stack": ALONE,
    "cd ../their-stack && python3 -m venv access-pack/.venv && "
    "access-pack/.venv/bin/pip install -r access-pack/requirements.txt": ALONE,
    "pulumi preview --policy-pack access-pack": ALONE,
    "access needs prod > policies/config/predictive-maintenance/prod.access.json":
        "tests/policies/test_config.py::test_what_the_pack_knows_of_a_stack_is_what_the_stack_says",
    "cd state": STATE,
    'pulumi login "file://$HOME/pulumi-state?metadata=skip"': STATE,
    "pulumi stack init state": STATE,
    "pulumi config set project my-pulumi": STATE,
    "pulumi config set --path 'writers[0]' group:platform@example.com": STATE,
    "pulumi config set --path 'readers[0]' group:pull-requests@example.com": STATE,
    "pulumi up --policy-pack ../policies": STATE,
    "pulumi login gs://my-pulumi-pulumi-state": STATE,
}  # fmt: skip
"""The test that runs it, or the same with other values; most are in `make sweep`."""
NOT_HERE: Final = {
    "make test": "this is a part of it",
    "pulumi stack output serviceAttachments": "reads a state",
    "gcloud compute addresses create vertex --project=plant-bremen --region=us-central1 "
    "--subnet=SUBNET": "makes a part of a network",
    "gcloud compute forwarding-rules create vertex --project=plant-bremen --region=us-central1 "
    "--network=NETWORK --address=vertex --target-service-attachment=ATTACHMENT": "likewise",
    "gcloud dns record-sets create vertex.plant.example. --project=plant-bremen --zone=ZONE "
    "--type=A --rrdatas=ADDRESS": "likewise",
    "gcloud auth application-default login": "asks a person, in a browser",
    "gcloud auth application-default login --impersonate-service-account "
    "pm-preview@iot-staging.iam.gserviceaccount.com": "likewise",
    "pulumi login gs://your-state-bucket": "asks Google, by Pulumi's own client for buckets",
    "export PULUMI_CONFIG_PASSPHRASE_FILE=~/.pulumi-passphrase": "what others read",
    "pulumi stack init staging --secrets-provider=gcpkms://projects/my-pulumi/locations/"
    "us-central1/keyRings/pulumi-state/cryptoKeys/state": "asks KMS by gRPC",
    "gcloud services enable cloudkms.googleapis.com cloudresourcemanager.googleapis.com "
    "iam.googleapis.com storage.googleapis.com --project my-pulumi": "a rehearsal begins with it",
    "gcloud projects get-iam-policy my-project --flatten='bindings[].members' "
    "--filter='bindings.members:pm-' --format='table(bindings.members, bindings.role)'": "a look",
    "gcloud storage ls --all-versions gs://my-pulumi-pulumi-state/.pulumi/stacks/"
    "predictive-maintenance/staging.json": "likewise",
    'gcloud storage cp "gs://my-pulumi-pulumi-state/.pulumi/stacks/predictive-maintenance/'
    'staging.json#GENERATION" staging.json': "likewise",
    "pulumi stack import --file staging.json": "likewise; recovered.json is imported above",
    "gh api repos/OWNER/NAME --jq '.owner.id, .id'": "asks GitHub",
    "uv pip compile --generate-hashes --no-emit-index-url --no-header --no-annotate "
    "--no-strip-extras requirements.in -o requirements.txt": "asks a package index",
}

OURS: Final = re.compile(
    r"^\.venv/bin/(python -m (?:access|rehearsal|simulator)|python policies report) (.*)$"
)


def tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text())


def commands() -> Iterator[str]:
    """Of all pages, each on one line, as it is typed."""
    for page in PAGES:
        if str(page.relative_to(ROOT)) in WHOLE_PAGES:
            continue
        for token in tokens(page):
            if token.type == "fence" and token.info in ("sh", "bash", "console"):
                joined = re.sub(r"\\\n\s*", "", token.content)
                yield from (line.removeprefix("$ ") for line in joined.splitlines() if line)


COMMANDS: Final = sorted(set(commands()))


def listed() -> list[str]:
    by_others = [
        f".venv/bin/python -m {it}" if it.startswith(("access ", "rehearsal ")) else it
        for it in BY_OTHER_TESTS
    ]
    return [*HERE, *ON_A_CLOUD, *AS_THE_PREVIEW_ACCOUNT, *by_others, *NOT_HERE]


def test_every_command_is_run_or_it_is_said_why_not() -> None:
    known = listed()
    assert {*COMMANDS} - {*known} == set(), "neither run by a test nor said why not"
    assert {*known} - {*COMMANDS} == set(), "on no page"
    assert len(known) == len({*known})


def test_a_command_stands_where_it_is_found() -> None:
    """In a fence that says what it is, neither indented nor in one of another language."""
    for page in PAGES:
        for token in tokens(page):
            assert token.type != "code_block", (page, token.content)
            if token.type == "fence" and not token.info:
                assert not re.search(r"(?m)^(\$ |make |pulumi |gcloud |\.venv/)", token.content)


@pytest.mark.parametrize("test", sorted(set(BY_OTHER_TESTS.values())))
def test_the_test_that_is_named_is_there(test: str) -> None:
    file, _, name = test.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text()


@pytest.mark.parametrize("typed", [it for it in COMMANDS if OURS.match(it)])
def test_our_command_lines_take_it(
    typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that take long: a mistyped option, stage or scenario is found at once."""
    found = OURS.match(typed)
    assert found
    command = manual.COMMANDS[found[1]]
    words = shlex.split(found[2].partition(" > ")[0])
    for word in words:
        if "." in word and "/" not in word:
            (tmp_path / word).touch()
    monkeypatch.chdir(tmp_path)
    if isinstance(command, click.Group):
        _, each, words = command.resolve_command(click.Context(command), words)
        assert each
        command = each
    command.make_context("", words)


@pytest.mark.parametrize("typed", [it for it in COMMANDS if it.startswith("make ")])
def test_make_has_the_target(typed: str) -> None:
    subprocess.run(["bash", "-c", f"{typed} --dry-run"], cwd=ROOT, capture_output=True, check=True)


def shell(typed: str, folder: Path) -> str:
    """What a command prints, in a folder where the project's Python is."""
    (folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", typed],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("typed", "said"), HERE.items())
def test_a_command_does_what_the_page_says(typed: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "up.log").write_text(denied("aiplatform.endpoints.create"))
    assert said in shell(typed, tmp_path)


def carry_out_in(run: Rehearsal, typed: str) -> None:
    """On the rehearsed cloud, as whoever runs the stack; nobody is there to be asked."""
    leading = re.match(r"(?:[A-Z_]+=\S+ )*", typed)
    assert leading
    given = dict(item.split("=", 1) for item in leading[0].split())
    given |= {"PULUMI_SKIP_CONFIRMATIONS": "true", "PYTHONPATH": str(ROOT)}
    carry_out(run.engine, Command("docs", "", typed, typed, given), stack_program)


@pytest.mark.sweep
def test_commands_for_a_cloud_are_carried_out_on_a_rehearsed_one() -> None:
    with opened(Options("staging"), Report("staging-docs", Console(stderr=True))) as run:
        folder, here = run.engine.directory, run.environment
        (folder / ".venv").symlink_to(Path(sys.executable).parents[1])
        (folder / "credentials.json").write_text("{}")
        for typed in ON_A_CLOUD:
            carry_out_in(run, typed)
        assert here.reviewer
        run.engine.run_as(here.reviewer, impersonate=here.settings.email(table.PREVIEW))
        for typed in AS_THE_PREVIEW_ACCOUNT:
            carry_out_in(run, typed)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    """Of pages outside of the site, too, which is built with anchors held as well."""
    for token in tokens(page):
        for child in token.children or ():
            target = child.attrGet("href") or child.attrGet("src") or ""
            file = str(target).partition("#")[0]
            if file and "://" not in file:
                assert (page.parent / file).exists(), f"{page}: {file}"


def test_pages_that_are_named_elsewhere_are_there() -> None:
    ours = r"\bdocs/((tutorial|how-to|reference|explanation|decisions)/)?[0-9a-z-]+\.md\b"
    named = subprocess.run(
        ["git", "grep", "-hoP", ours, "--", ".", ":!tests/data"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_every_page_is_in_the_navigation() -> None:
    def pages(item: object) -> Iterator[str]:
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            yield from (page for each in item.values() for page in pages(each))
        elif isinstance(item, list):
            yield from (page for each in item for page in pages(each))

    there = [str(page.relative_to(DOCS)) for page in PAGES if page.is_relative_to(DOCS)]
    site = tomllib.loads((ROOT / "zensical.toml").read_text())
    assert sorted(pages(site["project"]["nav"])) == sorted(there), "add it to zensical.toml"


@pytest.mark.parametrize("page", ["settings", "commands"])
def test_a_page_that_is_made_is_current(page: str) -> None:
    text = "\n".join({"settings": manual.settings, "commands": manual.commands}[page]()) + "\n"
    assert (DOCS / "reference" / f"{page}.md").read_text() == text, "run: make docs"
