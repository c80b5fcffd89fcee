"""Every rule on the real engine: its bad example is found, its good one passes."""

from __future__ import annotations

import pytest

from policies.gcp_access.rules import RULES
from policies.gcp_access.rules.rule import Rule
from tests.policies.support import Engine, Outcome, each, names

WITH_EXAMPLES = [rule for rule in RULES if rule.bad]


# What they share is made once, by one worker.
pytestmark = pytest.mark.xdist_group("rules")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="module")
def bad(engine: Engine) -> dict[str, Outcome]:
    """All bad examples: in production, in staging, in a stack that nothing is configured for, which
    is held to the baseline, and in production with nothing left out by Pulumi's policy config."""
    program = each({rule.id: rule.bad for rule in WITH_EXAMPLES})
    found = {stack: engine.preview(stack, program) for stack in ("prod", "staging", "elsewhere")}
    return found | {"strict": engine.preview("prod", program, notRequired={})}


@pytest.fixture(scope="module")
def good(engine: Engine) -> Outcome:
    return engine.preview("prod", each({rule.id: rule.good for rule in WITH_EXAMPLES}))


@pytest.fixture(scope="module")
def good_anywhere(engine: Engine) -> Outcome:
    baseline = {rule.id: rule.good for rule in WITH_EXAMPLES if not rule.only_strict}
    return engine.preview("elsewhere", each(baseline))


def levels(rule: Rule, outcome: Outcome) -> set[str]:
    mine = set(names(rule.id, rule.bad))
    return {v.level for v in outcome.violations if v.rule == rule.id and v.resource in mine}


NOT_REQUIRED = {
    "prod": {"B5"},
    "staging": {"B5", "V2", "V3", "B7", "B8", "R7"},
}
"""Rules that policies/config switches off there; and R7, which knows staging's own accounts."""


@pytest.mark.parametrize("rule", WITH_EXAMPLES, ids=lambda rule: rule.id)
def test_a_bad_example_is_blocked_in_prod_and_by_the_baseline(
    rule: Rule, bad: dict[str, Outcome]
) -> None:
    expected = {"mandatory"} if rule.mandatory else {"advisory"}
    assert levels(rule, bad["strict"]) == expected
    assert levels(rule, bad["prod"]) == (set() if rule.id in NOT_REQUIRED["prod"] else expected)
    assert levels(rule, bad["elsewhere"]) == (set() if rule.only_strict else expected)


@pytest.mark.parametrize("rule", WITH_EXAMPLES, ids=lambda rule: rule.id)
def test_a_bad_example_is_only_advised_in_staging(rule: Rule, bad: dict[str, Outcome]) -> None:
    expected = set() if rule.id in NOT_REQUIRED["staging"] else {"advisory"}
    assert levels(rule, bad["staging"]) == expected


def test_prod_stops_and_staging_goes_on(bad: dict[str, Outcome]) -> None:
    assert {stack: outcome.ok for stack, outcome in bad.items()} == {
        "prod": False,
        "staging": True,
        "elsewhere": False,
        "strict": False,
    }


def test_good_examples_pass_every_rule(good: Outcome, good_anywhere: Outcome) -> None:
    for outcome in (good, good_anywhere):
        assert [(v.resource, v.message) for v in outcome.violations] == []
        assert outcome.ok


def test_no_rule_is_left_out_of_these_tests() -> None:
    assert [rule.id for rule in RULES if not rule.bad] == ["X4"]  # about waivers, which need a file


def test_a_finding_names_rule_numbers_and_cure(bad: dict[str, Outcome]) -> None:
    found = next(v for v in bad["prod"].violations if (v.rule, v.resource) == ("G4", "G4-vertex"))
    said = found.message.partition("\n")[2]
    assert said.startswith(
        "G4 (high) roles/aiplatform.user: 446 permissions, 13 that start code, 69 deletes; "
        "the deployer uses 6 (aiplatform.endpoints.create, "
    )
    assert "gcp.projects.IAMCustomRole(" in said


def test_no_policy_gives_up_on_an_unknown_value(bad: dict[str, Outcome], good: Outcome) -> None:
    for outcome in (*bad.values(), good):
        assert not any("can't run policy" in v.message for v in outcome.violations)
        assert not any("can't run policy" in said for said in outcome.said)
