"""Configuration of the pack: what is wrong in a file is named, with what would do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from access.answer import settings_of
from access.needs import needs
from components.apis import SERVICES
from policies.gcp_access.config import FOLDER, Config, ConfigError, Configs, load
from policies.gcp_access.rules import RULES
from rehearsal import callers, environment

MANDATORY = {rule.id: rule.mandatory for rule in RULES}
ROOT = Path(__file__).parents[2]
WAIVER = {
    "rule": "G10",
    "resource": "gcp:storage/bucketIAMMember:BucketIAMMember::reads",
    "reason": "Ana finds out why the export stops",
    "owner": "platform@example.com",
    "expires": "2026-12-31",
}


def write(folder: Path, **files: dict[str, Any]) -> None:
    """Files of one Pulumi project, `team`."""
    (folder / "team").mkdir(exist_ok=True)
    for name, values in files.items():
        (folder / "team" / f"{name}.json").write_text(json.dumps(values))


def checked_in() -> Configs:
    return load(MANDATORY)


def problems(folder: Path, **files: dict[str, Any]) -> str:
    write(folder, **files)
    with pytest.raises(ConfigError) as raised:
        load(MANDATORY, folder)
    return str(raised.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"maxPermission": 5}, "maxPermission: no such key; did you mean maxPermissions?"),
        ({"maxPermissions": 5}, "maxPermissions: 5: expected `int` >= 10"),
        ({"enforcement": "off"}, "enforcement: 'off': has to be 'mandatory' or 'advisory'"),
        ({"needed": ["aiplatform.endpoint.get"]}, "the nearest is aiplatform.endpoints.get"),
        ({"profile": "strict"}, "profile: strict needs `access`, the file in which"),
        ({"access": "x.access.json"}, "access: there is no x.access.json beside it"),
        ({"like": "staging"}, "like: there is no team/staging.json"),
        ({"issuers": ["http://example.com"]}, "issuers.0: 'http://example.com'"),
        ({"apis": ["aiplatform"]}, "apis.0: 'aiplatform'"),
        ({"trustedMembers": ["ana"]}, "trustedMembers.0: 'ana': is not a member such as user:"),
        ({"notRequired": {"B55": "for a good reason"}}, "'B55' is no rule; did you mean B5?"),
        ({"notRequired": {"G1": "for a good reason"}}, "G1 is mandatory in production; a waiver"),
        (
            {"notRequired": {"B5": "because"}},
            "notRequired.B5: 'because': expected `str` of length >= 10",
        ),
        (
            {"waivers": [{**WAIVER, "rules": "x"}]},
            "waivers.0.rules: no such key; did you mean",
        ),
        ({"waivers": [{**WAIVER, "rule": "G100"}]}, "'G100' is no rule; did you mean G10?"),
        ({"waivers": [{**WAIVER, "resource": "*"}]}, "waivers.0.resource: '*'"),
        ({"waivers": [{**WAIVER, "owner": "ana"}]}, "waivers.0.owner: 'ana'"),
        (
            {"waivers": [{key: WAIVER[key] for key in WAIVER if key != "expires"}]},
            "waivers.0.expires: not set",
        ),
    ],
)
def test_a_bad_value_is_named_with_what_would_do(
    tmp_path: Path, values: dict[str, Any], said: str
) -> None:
    assert said in problems(tmp_path, prod=values)


def test_everything_that_is_wrong_is_said_at_once_with_its_file(tmp_path: Path) -> None:
    said = problems(tmp_path, default={"maxDelete": 1}, prod={"locaions": []})
    assert "team/default.json: maxDelete: no such key; did you mean maxDeletes?" in said
    assert "team/prod.json: locaions: no such key; did you mean locations?" in said


def test_all_that_is_wrong_in_an_access_file_is_said(tmp_path: Path) -> None:
    needs = {"aiplatform.endpoint.get": ["project"], "aiplatform.endpoints.get": [3]}
    identities = {"ana": {"needs": needs, "member": "ana"}, "bo": {"need": {}}}
    said = problems(tmp_path, **{"prod.access": {"identities": identities, "roles": {}}})
    for key, text in {
        "ana.needs.aiplatform.endpoint.get": "'aiplatform.endpoint.get': is no permission",
        "ana.needs.aiplatform.endpoints.get.0": "3: expected `str`",
        "ana.member": "'ana': is not a member",
        "bo.need": "no such key; did you mean needs?",
        "bo.needs": "not set",
    }.items():
        assert f"team/prod.access.json: identities.{key}: {text}" in said


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "prod.json").write_text("{")
    with pytest.raises(ConfigError, match=r"prod\.json: is not JSON"):
        load(MANDATORY, tmp_path)


def test_a_stack_differs_from_its_project_and_that_from_all_in_what_its_file_says(
    tmp_path: Path,
) -> None:
    (tmp_path / "default.json").write_text('{"maxDeletes": 3, "maxServices": 4}')
    write(
        tmp_path,
        default={"maxServices": 5, "locations": ["europe-west4"]},
        staging={"enforcement": "advisory", "locations": []},
        twin={"like": "staging", "maxDeletes": 0},
    )
    configs = load(MANDATORY, tmp_path)

    def of(project: str, stack: str) -> tuple[Any, ...]:
        config = configs.of((project, stack)).config
        return config.blocks, config.max_deletes, config.max_services, config.locations

    assert of("team", "staging") == (False, 3, 5, ())
    assert of("team", "twin") == (False, 0, 5, ())
    assert of("team", "whatever") == (True, 3, 5, ("europe-west4",))
    assert of("others", "staging") == (True, 3, 4, ())


def test_pulumis_policy_config_comes_last_and_is_held_to_the_same(tmp_path: Path) -> None:
    write(tmp_path, prod={"maxDeletes": 3})
    configs = load(MANDATORY, tmp_path)
    configs.give({"maxDeletes": 4.0})  # as the protocol has numbers
    assert configs.of(("team", "prod")).config.max_deletes == 4
    configs.give({"maxDeletes": 4000})
    with pytest.raises(ConfigError, match="Pulumi's policy config: maxDeletes: 4000: expected"):
        configs.of(("team", "prod"))


def test_nothing_of_this_stack_holds_for_another_teams() -> None:
    assert checked_in().of(("team", "prod")).config == Config()
    assert Config().blocks and Config().profile == "baseline"


def test_only_staging_is_lenient() -> None:
    configs = checked_in()
    lenient = [
        name
        for name in configs.files
        if not configs.of((name.partition("/")[0], name.partition("/")[2])).config.blocks
    ]
    assert lenient == ["predictive-maintenance/staging"]


@pytest.mark.parametrize("stack", ["staging", "prod", "prod-rollout"])
def test_each_checked_in_stack_is_configured_as_it_is(stack: str, tmp_path: Path) -> None:
    config = checked_in().of(("predictive-maintenance", stack)).config
    loaded = environment.load(stack.removesuffix("-rollout"), tmp_path)
    people = {callers.member(member) for member in config.trusted_members}
    assert config.profile == "strict"
    assert config.locations == (loaded.settings.region,)
    assert {loaded.settings.platform_member, loaded.settings.preview_member} == people
    assert set(SERVICES) <= set(config.apis)
    # A key of its own, so that nothing is left out of the rules that ask for one.
    assert loaded.settings.kms_key and not {"B6", "V1"} & config.not_required.keys()


@pytest.mark.parametrize("stack", ["staging", "prod"])
def test_what_the_pack_knows_of_a_stack_is_what_the_stack_says(stack: str) -> None:
    file = FOLDER / "predictive-maintenance" / f"{stack}.access.json"
    command = f"python -m access needs {stack} > {file.relative_to(ROOT)}"
    said = json.loads(json.dumps(needs(settings_of(stack, ROOT))))
    assert json.loads(file.read_text()) == said, f"run: {command}"
