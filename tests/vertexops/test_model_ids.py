"""Which model ids Google takes: the settings and the provider take the same."""

import json
from pathlib import Path
from typing import Any

import googleapiclient
import pytest

from components.configuration import SettingsError, parse
from pulumi_plugin.kinds import Context
from tests.vertexops.fakes import FakeGoogle
from vertexops.models import RegisteredModel
from vertexops.waiting import Clock

DOCUMENTS = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
RULE = (
    "This value may be up to 63 characters, and valid characters are `[a-z0-9_-]`. "
    "The first character cannot be a number or hyphen."
)
TAKEN = ("m", "_", "pump", "pump_2", "pump-2", "_pump", "pump-", "a" * 63)
REFUSED = ("", "3d-model", "-pump", "Pump", "pump.2", "pump 2", "pümp", "a" * 64)


def test_the_rule_is_googles() -> None:
    document = json.loads((DOCUMENTS / "aiplatform.v1.json").read_text())
    upload = document["schemas"]["GoogleCloudAiplatformV1UploadModelRequest"]["properties"]
    assert RULE in upload["modelId"]["description"]


def settings_take(id: str) -> bool:
    try:
        parse({"models": json.dumps([{"id": id, "traffic": 100}])}, Path())
    except SettingsError as error:
        return not any(problem.startswith("models[0].id") for problem in error.problems)
    raise AssertionError("the other settings are missing")


def provider_takes(id: str) -> bool:
    google: Any = FakeGoogle()
    _, failures = RegisteredModel(google, Clock()).check({"modelId": id}, {}, Context())
    return not any(failure.property == "modelId" for failure in failures)


@pytest.mark.parametrize("takes", [settings_take, provider_takes])
def test_settings_and_provider_take_the_ids_that_google_takes(takes: Any) -> None:
    assert [id for id in (*TAKEN, *REFUSED) if takes(id)] == list(TAKEN)
