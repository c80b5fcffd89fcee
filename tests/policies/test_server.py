"""The pack as Pulumi's SDK serves it: what it says of the messages that the engine sends."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format, struct_pb2
from pulumi.runtime.proto import analyzer_pb2
from pulumi_policy import EnforcementLevel, proxy
from pulumi_policy.deserialize import (
    SPECIAL_ARCHIVE_SIG,
    SPECIAL_ASSET_SIG,
    SPECIAL_SECRET_SIG,
    SPECIAL_SIG_KEY,
    deserialize_properties,
)
from pulumi_policy.policy import _PolicyAnalyzerServicer
from pulumi_policy.proxy import UNKNOWN_BOOLEAN_VALUE, unknown_checking_proxy

from policies.gcp_access.pack import policies
from policies.gcp_access.rules import RULES
from policies.gcp_access.rules.examples import PROJECT
from policies.gcp_access.rules.rule import Example
from policies.gcp_access.view import UNKNOWN, plain
from tests.policies.support import pack

WITH_EXAMPLES = [rule for rule in RULES if rule.bad]
BLOCKS, ADVISES = policies(pack())[0].name, policies(pack())[2].name


UNKNOWNS = sorted(value for name, value in vars(proxy).items() if name.startswith("UNKNOWN_"))


def server() -> Any:
    return _PolicyAnalyzerServicer("pack", "1.0.0", policies(pack()), EnforcementLevel.ADVISORY)


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
                return UNKNOWNS[0]
        return given

    made = []
    urns: dict[str, str] = {}
    for name, (type_, inputs) in example.items():
        urns[name] = f"urn:pulumi:prod::predictive-maintenance::{type_}::{name}"
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


def test_every_rule_speaks_of_its_bad_example() -> None:
    silent = {
        rule.id for rule in WITH_EXAMPLES if f"\\n{rule.id} " not in str(said(server(), rule.bad))
    }
    assert silent == {"B5"}  # which production's configuration does not require


def test_every_kind_of_value_is_plain_to_rules() -> None:
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
    assert plain(sdks) == {
        "text": "x",
        "whole": 3,
        "part": 0.5,
        "yes": True,
        "nothing": None,
        "list": [1, "x", None, [UNKNOWN], {"deep": {}}],
        "unknown": [UNKNOWN] * 7,
        "hidden": UNKNOWN,
        "secret": {"a": [UNKNOWN] * 7},
    }


def test_files_and_archives_are_the_sdks_own() -> None:
    file = {SPECIAL_SIG_KEY: SPECIAL_ASSET_SIG, "path": "main.py"}
    props = struct({"source": {SPECIAL_SIG_KEY: SPECIAL_ARCHIVE_SIG, "assets": {"main": file}}})
    sdks = unknown_checking_proxy(deserialize_properties(json_format.MessageToDict(props)))
    assert plain(sdks)["source"].assets["main"].path == "main.py"


def test_a_policy_that_the_engine_switches_off_says_nothing() -> None:
    rule = next(rule for rule in WITH_EXAMPLES if rule.mandatory and rule.each == "grant")
    by = server()
    assert BLOCKS in str(said(by, rule.bad))
    off = analyzer_pb2.PolicyConfig(enforcementLevel=analyzer_pb2.DISABLED)
    by.Configure(analyzer_pb2.ConfigureAnalyzerRequest(policyConfig={BLOCKS: off}), None)
    assert f"'{BLOCKS}'" not in str(said(by, rule.bad))
