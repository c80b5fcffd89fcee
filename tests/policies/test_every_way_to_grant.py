"""Every way that the installed provider has to grant is seen, by its shape."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from policies.gcp_access.pack import Pack
from policies.gcp_access.rules.accounts import WORKLOADS
from policies.gcp_access.rules.examples import GROUP
from tests.policies.support import given, ids, pack
from tests.recordings import DATA, text

EVERYBODY = "allUsers"
PROVIDER = Path(distribution("pulumi_gcp").locate_file("pulumi_gcp"))


@cache
def types() -> dict[str, dict[str, str]]:
    """Type token → the inputs of the provider's resource, with their annotations."""
    found: dict[str, dict[str, str]] = {}
    for file in PROVIDER.rglob("*.py"):
        if token := TOKEN.search(_text(file)):
            found[token[1]] = arguments(file, f"{token[2]}Args")
    return found


# Read as text: to parse the provider's 1,500 modules takes a minute.
TOKEN = re.compile(r'^@pulumi\.type_token\("([^"]+)"\)\nclass (\w+)', re.MULTILINE)
ARGUMENT = re.compile(r"^ +(?:\*, )?(\w+): (.*?),?$", re.MULTILINE)


@lru_cache(1)  # all of them are 150 MB
def _text(file: Path) -> str:
    return file.read_text()


@cache
def arguments(file: Path, name: str) -> dict[str, str]:
    """Input → annotation of a class of inputs."""
    _, there, rest = _text(file).partition(f"\nclass {name}:\n    def __init__(__self__, *,\n")
    return dict(ARGUMENT.findall(rest.partition("):\n")[0])) if there else {}


def granting(*inputs: str) -> list[str]:
    return [token for token, args in types().items() if all(name in args for name in inputs)]


pytestmark = pytest.mark.xdist_group("grants")


@pytest.fixture(scope="module")
def judged() -> Pack:
    return pack()


def found(judged: Pack, token: str, **inputs: Any) -> set[str]:
    return ids(judged.resource(given(token, inputs)))


def test_every_member_and_binding_of_the_provider_is_seen(judged: Pack) -> None:
    members, bindings = granting("role", "member"), granting("role", "members")
    removals = [token for token in members if token.endswith("MemberRemove")]
    assert len(members) == 159 and len(bindings) == 158 and len(removals) == 1
    for token in members:
        seen = found(judged, token, role="roles/owner", member=EVERYBODY)
        assert ({"G1", "G2"} <= seen) == (token not in removals), token
        assert token not in removals or "G1" not in seen
    for token in bindings:
        seen = found(judged, token, role="roles/owner", members=[GROUP, EVERYBODY])
        assert {"G1", "G2"} <= seen, token


def test_every_policy_of_the_provider_is_seen(judged: Pack) -> None:
    data = json.dumps({"bindings": [{"role": "roles/owner", "members": [EVERYBODY]}]})
    policies = granting("policy_data")
    assert len(policies) >= 158
    for token in policies:
        assert {"G1", "G2"} <= found(judged, token, policyData=data), token


def test_grants_above_single_resources_are_told_by_their_type(judged: Pack) -> None:
    wide = {
        token
        for token in granting("role", "member")
        if "G4" in found(judged, token, role="roles/aiplatform.user", member=GROUP)
    }
    assert wide == {
        "gcp:billing/accountIamMember:AccountIamMember",
        "gcp:folder/iAMMember:IAMMember",
        "gcp:organizations/iAMMember:IAMMember",
        "gcp:projects/iAMMember:IAMMember",
    }


def test_a_role_without_members_is_no_grant(judged: Pack) -> None:
    principals = {"member", "members", "entity", "user", "group", "domain", "iam_member"}
    others = [token for token in granting("role") if not principals & types()[token].keys()]
    assert len(others) >= 1  # such as subnetworks
    for token in others:
        assert not found(judged, token, role="roles/owner") & {"G1", "G2", "G14"}, token


def test_workloads_take_their_account_where_the_rule_looks() -> None:
    for token, path in WORKLOADS.items():
        assert _reaches(token, path), (token, path)


def _reaches(token: str, path: str) -> bool:
    """Whether the provider's inputs have something at a dotted path."""
    module = token.partition("/")[0].partition(":")[2]
    args = types()[token]
    for name in map(_snake, path.split(".")):
        if name not in args:
            return False
        nested = [word for word in _words(args[name]) if word.endswith("Args")]
        args = arguments(PROVIDER / module / "_inputs.py", nested[0]) if nested else {}
    return True


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _words(annotation: str) -> Iterator[str]:
    yield from "".join(c if c.isalnum() or c == "_" else " " for c in annotation).split()


def test_the_provider_grants_as_the_facts_list_it() -> None:
    def listed(name: str) -> set[str]:
        lines = text(DATA / "policy" / name).splitlines()
        return {line.split("\t")[0] for line in lines if line and not line.startswith("#")}

    assert {*granting("role", "member"), *granting("role", "members")} == listed("iam_tokens.txt")
    assert listed("iam_policy_tokens.txt") <= set(granting("policy_data"))
