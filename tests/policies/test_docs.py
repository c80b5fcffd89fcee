"""The page about the rules is made from them."""

from pathlib import Path

from policies.gcp_access.page import page
from policies.gcp_access.rules import RULES

COMMAND = "python -m policies.gcp_access.page > docs/reference/policies.md"
DOCS = Path(__file__).parents[2] / "docs" / "reference" / "policies.md"


def test_the_page_is_current() -> None:
    assert DOCS.read_text() == page(), f"run: {COMMAND}"


def test_every_rule_says_what_it_protects_and_how_to_comply() -> None:
    told = page()
    for rule in RULES:
        assert rule.protects and rule.remedy and rule.title and rule.docs, rule.id
        assert f"### {rule.id}: {rule.title}" in told


def test_rules_have_ids_of_their_own() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
