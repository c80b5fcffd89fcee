"""Roles that no file knows are asked of Google, here of the simulated one."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from policies.gcp_access import roles
from policies.gcp_access.lookup import KEPT_SECONDS, Lookup, every_predefined_role
from policies.gcp_access.rules.examples import GROUP, PROJECT, on_bucket, on_project
from simulator.api.audit import Audit
from simulator.core.delays import Delays
from simulator.google import GoogleCloud
from simulator.seed import plant
from simulator.serve.acting import acting
from simulator.serve.proxy import serve
from tests.policies.support import NoLookup, given, ids, pack

PERSON = "ana@example.com"
CUSTOM = f"projects/{PROJECT}/roles/launcher"
SEED = {
    "organization": {"id": "1"},
    "projects": [
        {
            "id": PROJECT,
            "number": "123456789012",
            "parent": "organizations/1",
            "services": ["iam.googleapis.com"],
        }
    ],
    "roles": [{"name": CUSTOM, "permissions": ["aiplatform.customJobs.create"]}],
    "grants": [
        {
            "resource": f"projects/{PROJECT}",
            "role": "roles/iam.roleViewer",
            "member": f"user:{PERSON}",
        }
    ],
}


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleCloud]:
    """A cloud that this process's Google clients talk to, as somebody who may read roles."""
    made = GoogleCloud(delays=Delays(iam=0, api=0, operation=0))
    plant(made, SEED)
    with serve(made, tmp_path / "cloud") as running:
        for name, value in acting(made, running, tmp_path, PERSON).items():
            monkeypatch.setenv(name, value)
        yield made


def asked(cloud: GoogleCloud) -> list[str]:
    return [e.resource for e in cloud[Audit].since(0) if e.permission == "iam.roles.get"]


def test_a_role_is_asked_for_once_and_kept_for_a_day(cloud: GoogleCloud, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    for _ in range(2):  # the second run of a pack finds it on disk
        assert Lookup(folder).permissions(CUSTOM, 5) == {"aiplatform.customJobs.create"}
    assert asked(cloud) == [CUSTOM]
    (kept,) = folder.iterdir()
    os.utime(kept, (time.time(), time.time() - KEPT_SECONDS - 1))
    assert Lookup(folder).permissions(CUSTOM, 5) == {"aiplatform.customJobs.create"}
    assert asked(cloud) == [CUSTOM, CUSTOM]


def test_a_role_that_is_looked_up_is_judged_by_what_it_holds(
    cloud: GoogleCloud, tmp_path: Path
) -> None:
    judged = pack(lookup=Lookup(tmp_path))
    assert ids(judged.resource(given(*on_project(CUSTOM, GROUP)), updating=True)) == {"G4"}


def test_a_role_that_google_does_not_know_stays_unjudged(
    cloud: GoogleCloud, tmp_path: Path
) -> None:
    assert Lookup(tmp_path).permissions("roles/no.such", 5) is None
    assert ids(pack(lookup=Lookup(tmp_path)).resource(given(*on_bucket("roles/no.such")))) == {
        "G14"
    }


def test_nobody_is_asked_without_credentials_or_time(
    cloud: GoogleCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Lookup(tmp_path).permissions(CUSTOM, 0) is None
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    assert Lookup(tmp_path).permissions(CUSTOM, 5) is None
    assert asked(cloud) == []


def test_known_roles_stand_in_configuration_where_nobody_can_be_asked(
    tmp_path: Path,
) -> None:
    known = {"knownRoles": {"projects/shared/roles/reader": ["storage.objects.get"]}}
    (tmp_path / "default.json").write_text(json.dumps(known))
    judged = pack(tmp_path, lookup=NoLookup())
    known_role, other = "projects/shared/roles/reader", "projects/shared/roles/other"
    assert ids(judged.resource(given(*on_bucket(known_role, GROUP)), updating=True)) == set()
    assert ids(judged.resource(given(*on_bucket(other, GROUP)), updating=True)) == {"G14"}


def test_the_catalogue_is_made_again_from_the_live_api(cloud: GoogleCloud, tmp_path: Path) -> None:
    found = list(every_predefined_role(Lookup(tmp_path)))
    assert len(found) == len(roles.ROLES) > 2_000
    said = roles.write(found, tmp_path / "roles.txt.gz")
    assert "2,461 roles (before: 2,461)" in said
    assert (tmp_path / "roles.txt.gz").read_bytes() == roles.FILE.read_bytes()


def test_half_an_answer_does_not_become_the_catalogue(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="100 roles where there were 2461; the catalogue is kept"):
        roles.write([{"name": f"roles/r{n}"} for n in range(100)], tmp_path / "roles.txt.gz")
    assert not (tmp_path / "roles.txt.gz").exists()
