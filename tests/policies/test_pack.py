"""The pack at work on the real engine: waivers, broken rules, bad files, and state files."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from policies.gcp_access.rules.examples import (
    BUCKET_MEMBER,
    GROUP,
    USER,
    account,
    on_bucket,
    on_project,
)
from tests.policies.support import PACK, ROOT, Engine, analyze, args, each, given, ids, pack

WHERE = f"{BUCKET_MEMBER}::w-reads"
READS = each({"w": {"reads": on_bucket("roles/storage.objectViewer", USER)}})
TODAY = datetime.now(UTC).date()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(tmp_path_factory.mktemp("engine"))


def waiver(days: int, **more: str) -> dict[str, Any]:
    return {
        "rule": "G10",
        "resource": WHERE,
        "reason": "Ana finds out why the export stops",
        "owner": "platform@example.com",
        "expires": (TODAY + timedelta(days=days)).isoformat(),
        **more,
    }


def another_pack(folder: Path, main: str = "", **config: Any) -> Path:
    """A pack beside the real one, with rules or configuration of its own."""
    made = folder / "pack"
    (made / "config").mkdir(parents=True)
    (made / "PulumiPolicy.yaml").write_text((PACK / "PulumiPolicy.yaml").read_text())
    told = {"profile": "strict", "needed": ["storage.objects.get"], **config}
    (made / "config" / "default.json").write_text(json.dumps(told))
    lines = [
        "import sys",
        f"sys.path.insert(0, {str(ROOT)!r})",
        "from pathlib import Path",
        "from pulumi_policy import PolicyPack",
        "from policies.gcp_access.config import load",
        "from policies.gcp_access.pack import Pack, policies",
        "from policies.gcp_access.rules import RULES",
        main,
        "configs = load({r.id: r.mandatory for r in RULES}, Path(__file__).parent / 'config')",
        "PolicyPack('another', policies(Pack(RULES, configs)))",
    ]
    (made / "__main__.py").write_text("\n".join(lines))
    return made


def test_a_waiver_excuses_one_finding_and_is_printed(engine: Engine, tmp_path: Path) -> None:
    made = another_pack(tmp_path, waivers=[waiver(1), waiver(1, resource=WHERE + "-not")])
    outcome = engine.preview("prod", READS, made)
    assert outcome.ok and outcome.rules(level="mandatory") == set()
    (used,) = [v.message for v in outcome.violations if v.rule == "G10"]
    assert f"G10 is waived for {WHERE} until" in used
    assert "by platform@example.com: Ana finds out why the export stops" in used
    (unused,) = [v.message for v in outcome.violations if v.rule == "X4"]
    assert f"the waiver of G10 for {WHERE}-not (platform@example.com) matches nothing" in unused


def test_an_expired_waiver_counts_as_absent_and_says_so(engine: Engine, tmp_path: Path) -> None:
    made = another_pack(tmp_path, waivers=[waiver(-1)])
    outcome = engine.preview("prod", READS, made)
    assert not outcome.ok and outcome.rules("w-reads", "mandatory") == {"G10"}
    (said,) = [v.message for v in outcome.violations if v.rule == "X4"]
    assert f"ended on {TODAY - timedelta(days=1)} and counts as absent" in said


def test_a_waiver_holds_on_its_last_day(tmp_path: Path) -> None:
    told = {"profile": "strict", "needed": ["storage.objects.get"], "waivers": [waiver(0)]}
    (tmp_path / "default.json").write_text(json.dumps(told))
    bucket = on_bucket("roles/storage.objectViewer", USER)
    (finding,) = pack(tmp_path).resource(given(*bucket, name="w-reads"))
    assert not finding.mandatory and "is waived" in finding.message


def test_a_rule_that_throws_blocks_and_says_where(engine: Engine, tmp_path: Path) -> None:
    main = "\n".join(
        [
            "from dataclasses import replace",
            "def broken(*_):",
            "    raise KeyError('surprise')",
            "    yield",
            "RULES = tuple(",
            "    replace(r, check=broken) if r.id in ('G1', 'G15') else r for r in RULES)",
        ]
    )
    made = another_pack(tmp_path, main)
    outcome = engine.preview("prod", READS, made)
    assert not outcome.ok
    said = {v.rule: v.message for v in outcome.violations if "failed" in v.message}
    line = (made / "__main__.py").read_text().splitlines().index("    raise KeyError('surprise')")
    for rule, resource in (
        ("G1", WHERE),
        ("G15", "pulumi:pulumi:Stack::predictive-maintenance-prod"),
    ):
        assert f"{rule} failed on {resource}" in said[rule]
        assert f"KeyError: 'surprise' ({made / '__main__.py'}:{line + 1})" in said[rule]


def test_a_bad_file_stops_the_pack_before_it_judges(engine: Engine, tmp_path: Path) -> None:
    outcome = engine.preview("prod", READS, another_pack(tmp_path, maxDelete=1))
    assert not outcome.ok
    assert "maxDelete: no such key; did you mean maxDeletes?" in "\n".join(outcome.said)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        # By the schema that the pack gives Pulumi.
        ({"maxPermissions": 5}, "maxPermissions: Must be greater than or equal to 10"),
        # By the pack itself.
        ({"maxPermission": 50}, "maxPermission: no such key; did you mean maxPermissions?"),
        ({"needed": ["aiplatform.endpoint.get"]}, "the nearest is aiplatform.endpoints.get"),
    ],
)
def test_pulumis_policy_config_is_held_to_the_same_bounds(
    engine: Engine, config: dict[str, Any], said: str
) -> None:
    outcome = engine.preview("elsewhere", READS, **config)
    assert not outcome.ok and said in "\n".join(outcome.said)


def test_a_state_file_is_judged_without_stack_or_provider(engine: Engine, tmp_path: Path) -> None:
    program = each(
        {
            "s": {
                "vertex": on_project("roles/aiplatform.user", account("pm-deployer")),
                "reads": on_bucket("roles/storage.objectViewer", GROUP),
            }
        }
    )
    stack = engine.stack("staging", program)
    stack.up()
    state = stack.export_stack()
    file = {"version": state.version, "deployment": state.deployment}
    code, said = analyze(tmp_path, file)
    assert code == 0 and "G4 (high) roles/aiplatform.user: 446 permissions" in said
    assert '"advisory"' in said and '"mandatory"' not in said
    renamed = json.loads(json.dumps(file).replace("urn:pulumi:staging::", "urn:pulumi:prod::"))
    code, said = analyze(tmp_path, renamed)
    assert code == 1 and "G4 (high) roles/aiplatform.user: 446 permissions" in said
    assert '"mandatory"' in said and "s-reads" not in said


def test_either_policy_of_a_pair_judges_alone() -> None:
    from policies.gcp_access.pack import policies

    bad = args(*on_bucket("roles/storage.legacyBucketReader", "allUsers"), stack="prod")
    blocks, _, advises, _ = policies(pack())
    for order in ((blocks, advises), (advises,), (advises, blocks), (blocks, blocks)):
        for policy in order:
            heard: list[str] = []
            policy.validate(bad, lambda said, urn=None, heard=heard: heard.append(said[:3].strip()))
            assert heard == (["G1"] if policy is blocks else ["G18"])


def test_unknown_values_stop_only_the_rules_that_need_them() -> None:
    from pulumi_policy.proxy import UNKNOWN_STRING_VALUE

    type_, inputs = on_bucket("roles/storage.objectViewer", "allUsers")
    hidden = {**inputs, "role": UNKNOWN_STRING_VALUE, "condition": UNKNOWN_STRING_VALUE}
    assert ids(pack().resource(given(type_, hidden))) == {"G1"}


@pytest.mark.parametrize(
    ("member", "rules"),
    [
        ("serviceAccount:dashboard@elsewhere.iam.gserviceaccount.com", set()),
        ("group:maintenance@example.com", set()),
        ("user:ana@example.com", {"G10"}),
        ("group:maintenance@elsewhere.example", {"G11"}),
    ],
)
def test_who_else_may_ask_the_endpoint_is_judged_as_the_how_to_says(
    member: str, rules: set[str]
) -> None:
    judge, id = pack(), "predictiveMaintenancePredictor"
    held = ["aiplatform.endpoints.get", "aiplatform.endpoints.predict"]
    role = {"roleId": id, "project": "iot-prod", "title": "Predictor", "permissions": held}
    judge.resource(given("gcp:projects/iAMCustomRole:IAMCustomRole", role, name="predictor"))
    grant = {"endpoint": "9150266", "project": "iot-prod", "location": "europe-west4"}
    type_ = "gcp:vertex/aiEndpointIamMember:AiEndpointIamMember"
    grant |= {"role": f"projects/iot-prod/roles/{id}", "member": member}
    assert ids(judge.resource(given(type_, grant))) == rules
