"""The pack's own server says what the SDK's says, of the same messages."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2
from pulumi.runtime.proto import analyzer_pb2
from pulumi_policy import EnforcementLevel
from pulumi_policy.deserialize import (
    SPECIAL_ARCHIVE_SIG,
    SPECIAL_ASSET_SIG,
    SPECIAL_SECRET_SIG,
    SPECIAL_SIG_KEY,
    deserialize_properties,
)
from pulumi_policy.policy import _PolicyAnalyzerServicer
from pulumi_policy.proxy import UNKNOWN_BOOLEAN_VALUE, unknown_checking_proxy

from policies import serve
from policies import server as ours
from policies.pack import policies
from policies.rules import RULES
from policies.rules.examples import PROJECT
from policies.rules.rule import Example
from policies.serve import KNOWN
from policies.server import UNKNOWNS, Servicer, methods, read_struct
from policies.view import plain
from tests.policies.support import pack

WITH_EXAMPLES = [rule for rule in RULES if rule.bad]
BLOCKS, ADVISES = policies(pack())[0].name, policies(pack())[2].name


def server(kind: type[_PolicyAnalyzerServicer]) -> Any:
    return kind("pack", "1.0.0", policies(pack()), EnforcementLevel.ADVISORY)


def struct(props: Any) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    made.update(props)
    return made


def messages(example: Example) -> list[analyzer_pb2.AnalyzerResource]:
    """What the engine sends of an example in a preview: what refers to others is unknown."""

    def value(given: Any) -> Any:
        match given:
            case dict():
                return {key: value(item) for key, item in given.items()}
            case list() | tuple():
                return [value(item) for item in given]
            case str() if given.startswith("${"):
                return sorted(UNKNOWNS)[0]
        return given

    made = []
    urns: dict[str, str] = {}
    for name, (type_, inputs) in example.items():
        urns[name] = f"urn:pulumi:elsewhere::examples::{type_}::{name}"
        message = analyzer_pb2.AnalyzerResource(
            type=type_, name=name, urn=urns[name], properties=struct(value(dict(inputs)))
        )
        message.provider.properties.update({"project": PROJECT})
        for key, given in inputs.items():
            for other, urn in urns.items():
                if f"${{{other}." in str(given):
                    message.propertyDependencies[key].urns.append(urn)
        made.append(message)
    return made


def said(by: Any, example: Example) -> list[Any]:
    sent = messages(example)
    answers = [
        by.Analyze(
            analyzer_pb2.AnalyzeRequest(
                type=one.type,
                name=one.name,
                urn=one.urn,
                properties=one.properties,
                provider=one.provider,
            ),
            None,
        )
        for one in sent
    ]
    answers.append(by.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(resources=sent), None))
    return [json_format.MessageToDict(answer) for answer in answers]


def test_it_says_what_the_sdks_server_says() -> None:
    silent = set()
    for rule in WITH_EXAMPLES:
        ours = said(server(Servicer), rule.bad)
        assert ours == said(server(_PolicyAnalyzerServicer), rule.bad)
        if f"\\n{rule.id} " not in str(ours):
            silent.add(rule.id)
    assert silent == set()


def test_it_reads_every_kind_of_value_as_the_sdk_does() -> None:
    props = struct(
        {
            "text": "x",
            "whole": 3,
            "part": 0.5,
            "yes": True,
            "nothing": None,
            "list": [1, "x", None, [UNKNOWN_BOOLEAN_VALUE], {"deep": {}}],
            "unknown": [*UNKNOWNS],
            "hidden": {SPECIAL_SIG_KEY: SPECIAL_SECRET_SIG, "value": UNKNOWN_BOOLEAN_VALUE},
            "secret": {SPECIAL_SIG_KEY: SPECIAL_SECRET_SIG, "value": {"a": [*UNKNOWNS]}},
        }
    )
    sdks = unknown_checking_proxy(deserialize_properties(json_format.MessageToDict(props)))
    assert read_struct(props) == plain(sdks)
    assert len(UNKNOWNS) == 7


def test_files_and_archives_are_the_sdks_own() -> None:
    file = {SPECIAL_SIG_KEY: SPECIAL_ASSET_SIG, "path": "main.py"}
    props = struct({"source": {SPECIAL_SIG_KEY: SPECIAL_ARCHIVE_SIG, "assets": {"main": file}}})
    assert read_struct(props)["source"].assets["main"].path == "main.py"


def test_a_policy_that_the_engine_switches_off_says_nothing() -> None:
    rule = next(rule for rule in WITH_EXAMPLES if rule.mandatory and rule.each == "grant")
    by = server(Servicer)
    assert BLOCKS in str(said(by, rule.bad))
    off = analyzer_pb2.PolicyConfig(enforcementLevel=analyzer_pb2.DISABLED)
    by.Configure(analyzer_pb2.ConfigureAnalyzerRequest(policyConfig={BLOCKS: off}), None)
    assert f"'{BLOCKS}'" not in str(said(by, rule.bad))


def test_the_installed_sdk_is_one_it_was_tried_with() -> None:
    assert metadata.version("pulumi_policy") in KNOWN


def test_any_other_release_serves_the_pack_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setattr(serve, "PolicyPack", lambda *_: started.append("the SDK's"))
    monkeypatch.setattr(ours, "serve", lambda *_: started.append("ours"))
    for release in ("99.0.0", KNOWN[0]):
        monkeypatch.setattr(metadata, "version", lambda _, release=release: release)
        serve.serve("pack", policies(pack()))
    assert started == ["the SDK's", "ours"]


def test_it_answers_all_that_the_sdks_does_but_what_to_remediate() -> None:
    """The engine takes a missing Remediate for nothing to remediate."""
    every = {method.name for method in analyzer_pb2.DESCRIPTOR.services_by_name["Analyzer"].methods}
    sdks = {name for name in every if name in vars(_PolicyAnalyzerServicer)}
    assert set(methods(server(Servicer))) == {
        f"/pulumirpc.Analyzer/{name}" for name in sdks - {"Remediate"}
    }
