"""Which changes of settings a stack refuses, by what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.configuration import parse
from components.fixed import watched
from tests.components.test_settings import GOOD, LOOKED_UP, UPLOADED

FREE = {"protect": "false", "deployerMay": '["register", "retire"]', "previewMember": "user:a@b.c"}


def fixed(root: Path, **changes: str) -> set[str]:
    """What a stack with these settings does not let go of."""
    (root / "fan.joblib").touch()
    settings = parse({**GOOD, **FREE, **changes}, root)
    return {str(item.name) for item in watched(settings) if item.instead}


ALWAYS = {"layer", "project", "region", "dedicatedEndpoint", "namePrefix", "kmsKey"}
ALWAYS |= {"privateProjects"}
GITHUB = json.dumps({"ownerId": 1, "repositoryId": 2, "rolloutEnvironment": "production"})
UPLOADS = ALWAYS | {"deployerMay"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"federation": GITHUB}, UPLOADS),
        (
            {"federation": GITHUB, "deployerMay": '["register"]'},
            UPLOADS
            | {"endpointId", "accountPrefix", "rolePrefix", "previewMember", "models"}
            | {"federation", "federation.pool"},
        ),
        ({}, UPLOADS),
        ({"models": json.dumps([{**LOOKED_UP, "traffic": 100}])}, ALWAYS),
        ({"protect": "true"}, UPLOADS | {"endpointId", "accountPrefix", "requestLog.dataset"}),
        (
            {"deployerMay": '["register"]'},
            UPLOADS | {"endpointId", "accountPrefix", "rolePrefix", "previewMember", "models"},
        ),
        (
            {
                "deployerMay": '["register"]',
                "previewMember": "",
                "models": json.dumps([{**UPLOADED, "traffic": 100}]),
            },
            UPLOADS | {"endpointId", "accountPrefix", "rolePrefix"},
        ),
        ({"alerts": '{"topic": "incidents"}'}, UPLOADS),
        (
            {
                "alerts": '{"topic": "incidents"}',
                "deployerMay": "[]",
                "models": json.dumps([{**LOOKED_UP, "traffic": 100}]),
            },
            ALWAYS
            | {"endpointId", "accountPrefix", "rolePrefix", "previewMember", "models"}
            | {"alerts", "alerts.topic"},
        ),
    ],
)
def test_what_a_stack_does_not_let_go_of(
    tmp_path: Path, changes: dict[str, str], expected: set[str]
) -> None:
    assert fixed(tmp_path, **changes) == expected


@pytest.mark.parametrize("setting", ["dedicatedEndpoint", "kmsKey", "privateProjects"])
def test_another_endpoint_may_be_otherwise(tmp_path: Path, setting: str) -> None:
    (tmp_path / "fan.joblib").touch()

    def key(**changes: str) -> Any:
        settings = parse({**GOOD, **FREE, **changes}, tmp_path)
        [found] = [item for item in watched(settings) if item.name == setting]
        return found.of

    assert key() != key(endpointId="42")
