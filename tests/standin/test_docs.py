"""The page about the stand-in is made from it, and says what it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from pulumi_plugin.kinds import Context, ProviderError
from pulumi_plugin.values import Props
from standin.docs import ALWAYS, NEVER, SAMPLES, Asked, first, page, row, sample
from standin.fields import DEFAULTS
from standin.gcp import Gcp
from standin.provider import NOT_SET
from standin.resource import Declared
from tests.recordings import CONTRACT, load
from tests.standin.support import Scripted, configured

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "stand-in.md"
TOKENS = Gcp().tokens
RECORDED: dict[str, Props] = {
    item["type"]: item["inputs"]
    for folder in ("core", "more")
    for item in load(CONTRACT / folder / "state.jsonl")
}


def test_the_page_is_current() -> None:
    run = "run: python -m standin.docs > docs/reference/stand-in.md"
    assert PAGE.read_text() == page(), run


def test_every_type_names_its_source() -> None:
    assert set(TOKENS) == set(RECORDED)
    for token in TOKENS:
        assert row(token)[-1].startswith(("`services/", "`products/", "`tpgiamresource/")), token


def open_to_the_provider(kind: Declared) -> Props:
    """Recorded inputs without what the provider may stand in for."""
    given = {k: v for k, v in RECORDED[kind.spec.token].items() if k not in kind.provided}
    given |= {name: SAMPLES[name] for name in SAMPLES if name in given}
    given |= {k: v for k, v in sample(kind).items() if k in kind.provided}
    given |= {name: "x" for name in ("content", "secretData") if name in given}  # are encrypted
    if kind.spec.token == "gcp:serviceaccount/key:Key":
        given["serviceAccountId"] = "short"
    if kind.spec.token == "gcp:vertex/aiEndpointIamMember:AiEndpointIamMember":
        given = {**given, "endpoint": "1"}
        given.pop("location", None)
    return given


def settings(token: str) -> dict[str, str]:
    """What the type asks of the provider, by the property that it asks for."""
    asked = Asked()
    kind = Gcp(asked).kind(token)
    assert isinstance(kind, Declared)
    kind.names("", open_to_the_provider(kind), {})
    return asked.settings


@pytest.mark.parametrize("token", TOKENS)
def test_what_a_type_needs_of_the_provider_is_what_it_cannot_be_made_without(token: str) -> None:
    needed = settings(token)
    known = {"project": "p", "region": "r", "zone": ""}
    needs = row(token)[0]
    for name in ("project", "region", "location"):
        assert (name in needed.values()) == (name in needs.replace("(as `location`)", "")), name

    def make(**config: str) -> str:
        gcp, _ = configured(Scripted({}), **config)
        kind = gcp.kind(token)
        assert isinstance(kind, Declared)
        given = open_to_the_provider(kind)
        with pytest.raises((ProviderError, AssertionError)) as raised:
            kind.create({DEFAULTS: [], **given}, Context(name="x"))
        return str(raised.value)

    assert make(**known).startswith("unexpected ")  # a request, which the script does not have
    for property, name in needed.items():
        lacking = {"location": "region"}.get(name, name)
        said = make(**{**known, lacking: ""})
        if "provider must be set" in said:  # a key ring's own words
            continue
        others = [NOT_SET[other].format(prop) for prop, other in needed.items()]
        assert said in others, property


@pytest.mark.parametrize("token", TOKENS)
def test_when_a_type_is_deleted_first_is_as_the_page_says(token: str) -> None:
    gcp, _ = configured(Scripted({}))
    kind = gcp.kind(token)
    assert isinstance(kind, Declared)
    given = {DEFAULTS: [], **sample(kind), **RECORDED[token], "project": "p"}
    news = [item.name for item in kind.spec.fields if item.new and item.type == "string"]
    replaced = "project" if "project" in news else news[0]
    auto = kind.spec.autoname

    def delete_first(defaults: list[str]) -> bool:
        old = {**given, DEFAULTS: defaults}
        change = kind.diff("any", old, old, {**old, replaced: "other"})
        assert replaced in change.replaces
        return change.delete_before_replace

    said = row(token)[1]
    assert said == first(kind)
    assert delete_first([]) is (said != NEVER)
    if auto and auto.input != replaced:
        assert delete_first([auto.input]) is (said == ALWAYS)
