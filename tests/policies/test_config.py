"""Configuration of the pack: what is wrong in a file is named, with what would do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.apis import SERVICES
from policies.config import Config, ConfigError, load
from policies.rules import RULES
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


def problems(folder: Path, **files: dict[str, Any]) -> str:
    for name, values in files.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError) as raised:
        load(MANDATORY, folder)
    return str(raised.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"maxPermission": 5}, "maxPermission: no such key; did you mean maxPermissions?"),
        ({"maxPermissions": 5}, "maxPermissions: 5: input should be greater than or equal to 10"),
        ({"enforcement": "off"}, "enforcement: 'off': input should be 'mandatory' or 'advisory'"),
        ({"needed": ["aiplatform.endpoint.get"]}, "the nearest is aiplatform.endpoints.get"),
        ({"capabilities": ["registr"]}, "is no capability; the nearest is register"),
        ({"issuers": ["http://example.com"]}, "issuers.0: 'http://example.com'"),
        ({"apis": ["aiplatform"]}, "apis.0: 'aiplatform'"),
        ({"trustedMembers": ["ana"]}, "trustedMembers.0: 'ana': is not a member such as user:"),
        ({"notRequired": {"B55": "for a good reason"}}, "'B55' is no rule; did you mean B5?"),
        ({"notRequired": {"G1": "for a good reason"}}, "G1 is mandatory in production; a waiver"),
        ({"notRequired": {"B5": "because"}}, "notRequired.B5: 'because': string should have"),
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
    assert "default.json: maxDelete: no such key; did you mean maxDeletes?" in said
    assert "prod.json: locaions: no such key; did you mean locations?" in said


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "prod.json").write_text("{")
    with pytest.raises(ConfigError, match=r"prod\.json: is not JSON"):
        load(MANDATORY, tmp_path)


def test_a_stack_differs_from_the_default_in_what_its_file_says(tmp_path: Path) -> None:
    (tmp_path / "default.json").write_text('{"maxDeletes": 3, "locations": ["europe-west4"]}')
    (tmp_path / "staging.json").write_text('{"enforcement": "advisory", "locations": []}')
    configs = load(MANDATORY, tmp_path)
    staging, unknown = configs.of("staging"), configs.of("whatever")
    assert (staging.strict, staging.max_deletes, staging.locations) == (False, 3, ())
    assert (unknown.strict, unknown.max_deletes) == (True, 3)


def test_only_staging_is_lenient() -> None:
    configs = load(MANDATORY)
    assert [stack for stack, config in configs.by_stack.items() if not config.strict] == ["staging"]
    assert Config().strict


def test_each_checked_in_stack_is_configured_as_it_is(tmp_path: Path) -> None:
    configs = load(MANDATORY)
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    for stack in ("staging", "prod"):
        config, settings = configs.of(stack), environment.load(stack, tmp_path).settings
        assert config.account_prefix == settings.account_prefix
        assert set(config.capabilities or ()) == settings.capabilities
        assert config.locations == (settings.region,)
        people = {callers.member(member) for member in config.trusted_members}
        assert {settings.platform_member, settings.preview_member} == people
        assert set(SERVICES) <= set(config.apis)
    assert configs.of("whatever").account_prefix == declared["accountPrefix"]["default"]
