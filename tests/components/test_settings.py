import json
from pathlib import Path

import pytest

from components.settings import Settings, SettingsError, parse

UPLOADED = {"id": "fan", "artifact": "fan.joblib", "traffic": 90}
LOOKED_UP = {
    "id": "pump",
    "source": "projects/iot-models/locations/us-central1/models/pump@default",
    "traffic": 10,
}
GOOD = {
    "project": "iot-staging",
    "region": "us-central1",
    "platformMember": "user:platform@example.com",
    "previewMember": "",
    "accountPrefix": "pm-",
    "rolePrefix": "predictiveMaintenance",
    "endpointId": "7203418",
    "dedicatedEndpoint": "false",
    "requestLogPercent": "100",
    "models": json.dumps([UPLOADED, LOOKED_UP]),
    "sourceArtifactsBucket": "iot-models-artifacts",
    "servingContainer": "us-docker.pkg.dev/vertex-ai/prediction/sklearn-cpu.1-5:latest",
    "machineType": "n1-standard-2",
    "minReplicas": "1",
    "maxReplicas": "2",
    "cpuTargetPercent": "60",
    "sensors": "[]",
    "riskPercent": "50",
    "telemetryDays": "365",
    "backlogDays": "7",
    "telemetryRegions": "[]",
    "orderByDevice": "true",
    "deviceMembers": "[]",
    "protect": "false",
    "deployerMay": '["register", "retire"]',
    "readinessSeconds": "900",
    "impersonate": "true",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "fan.joblib").write_bytes(b"model")
    return tmp_path


def problems(root: Path, **changed: str | None) -> list[str]:
    values = {**GOOD, **changed}
    with pytest.raises(SettingsError) as caught:
        parse({key: value for key, value in values.items() if value is not None}, root)
    return caught.value.problems


def test_good_values_are_typed(root: Path) -> None:
    settings = parse(GOOD, root)
    assert isinstance(settings, Settings)
    assert (settings.max_replicas, settings.protect, settings.models[1].traffic) == (2, False, 10)
    assert settings.source_project == "iot-models"
    assert settings.capabilities == {"register", "retire", "source"}


def test_settings_cannot_be_changed(root: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse(GOOD, root).project = "other"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("project", "X", "project: 'X' is not a project id"),
        ("region", "us-centrall1", "the nearest name is us-central1"),
        ("platformMember", "ana", "platformMember: 'ana' is not a member"),
        ("accountPrefix", "Bad_", "'Bad_deployer'; Google wants 6-30 of a-z"),
        ("accountPrefix", "p" * 25, "Google wants 6-30"),
        ("rolePrefix", "no-dash", "'no-dashDeployer'; Google wants 3-64 letters"),
        ("endpointId", "0123", "endpointId: '0123' is not 1-10 digits without a leading zero"),
        ("requestLogPercent", "101", "requestLogPercent: '101' is not valid"),
        ("sensors", '["heat", "heat"]', "sensors: ['heat', 'heat'] names heat twice"),
        ("sensors", '["device"]', "names device twice, or as device and time and risk are"),
        ("sensors", '["Heat"]', "sensors[0]: 'Heat' is not a column name"),
        ("riskPercent", "0", "riskPercent: '0' is not valid"),
        ("telemetryRegions", '["us-east1"]', "lacks us-central1, where the endpoint is"),
        ("deviceMembers", '["pump"]', "deviceMembers[0]: 'pump' is not a member"),
        ("minReplicas", "3", "minReplicas: '3' is more than maxReplicas, 2; use 1 to 2"),
        ("minReplicas", "0", "minReplicas: '0' is not valid"),
        ("maxReplicas", "many", "maxReplicas: 'many' is not valid"),
        ("protect", "maybe", "protect: 'maybe' is not valid"),
        ("machineType", "big", "machineType: 'big' is not such as n1-standard-2"),
        ("deployerMay", '["fly"]', "deployerMay[0]: 'fly' is not valid"),
        ("deployerMay", '["retire"]', "deployerMay has no 'register'"),
        (
            "sourceArtifactsBucket",
            "",
            "sourceArtifactsBucket has to name the bucket of the artifacts",
        ),
        ("models", "[]", "models: give at least one model"),
        ("models", "nonsense", "models: 'nonsense' is not valid"),
        ("models", json.dumps([UPLOADED]), "models: traffic is 90 = 90; it has to sum to 100"),
        ("models", json.dumps([UPLOADED, {**LOOKED_UP, "id": "fan"}]), "'fan' is used 2 times"),
        ("models", json.dumps([{**UPLOADED, "traffic": "x"}]), "models[0].traffic: 'x' is not"),
        ("models", json.dumps([{**UPLOADED, "trafic": 1}]), "did you mean traffic?"),
        ("models", json.dumps([{"id": "fan", "traffic": 100}]), "needs either `artifact`"),
        (
            "models",
            json.dumps([UPLOADED, {**LOOKED_UP, "source": "pump"}]),
            "models[1].source: 'pump' is not projects/P/locations/L/models/M",
        ),
        (
            "models",
            json.dumps([UPLOADED, {**LOOKED_UP, "source": "projects/p/locations/eu/models/m"}]),
            "the model is in eu, the endpoint in us-central1",
        ),
        (
            "models",
            json.dumps([{**UPLOADED, "artifact": "gone.joblib", "traffic": 100}]),
            "models[0].artifact: 'gone.joblib' is no file",
        ),
    ],
)
def test_a_bad_value_is_named_with_what_would_be_valid(
    root: Path, key: str, value: str, said: str
) -> None:
    assert any(said in problem for problem in problems(root, **{key: value}))


def test_an_unknown_key_names_the_nearest_valid_one(root: Path) -> None:
    assert problems(root, regio="x") == ["regio: 'x' is for an unknown key; did you mean region?"]


def test_a_missing_key_is_named(root: Path) -> None:
    assert problems(root, project=None) == ["project: not set; see its description in Pulumi.yaml"]


def test_everything_wrong_is_reported_at_once(root: Path) -> None:
    found = problems(root, region="x", protect="x", minReplicas="5", endpointId="x", colour="x")
    assert {problem.partition(":")[0] for problem in found} == {
        "region", "protect", "minReplicas", "endpointId", "colour",
    }  # fmt: skip


def test_what_is_wrong_with_one_model_hides_nothing_of_what_is_wrong_between_models(
    root: Path,
) -> None:
    models = [
        {**UPLOADED, "replicas": 2},
        {**LOOKED_UP, "traffic": "20"},
        {"id": "fan", "traffic": 5},
    ]
    assert problems(root, models=json.dumps(models), sourceArtifactsBucket="") == [
        "models[0].replicas: 2 is for an unknown key; did you mean traffic?",
        "models[2]: {'id': 'fan', 'traffic': 5} needs either `artifact` (upload) or `source` "
        "(look up)",
        "models: traffic is 90 + 20 + 5 = 115; it has to sum to 100",
        "models: the id 'fan' is used 2 times; give each model its own",
        "models: sourceArtifactsBucket has to name the bucket of the artifacts in iot-models",
    ]


def test_a_share_that_cannot_be_read_is_in_no_sum(root: Path) -> None:
    models = [{**UPLOADED, "traffic": "most"}, LOOKED_UP]
    assert problems(root, models=json.dumps(models)) == [
        "models[0].traffic: 'most' is not valid: input should be a valid integer, unable to parse "
        "string as an integer"
    ]


def test_a_model_that_is_no_object_leaves_the_others_checked(root: Path) -> None:
    found = problems(root, models=json.dumps(["pump", UPLOADED, {**UPLOADED, "traffic": 10}]))
    assert [line.partition(":")[0] for line in found] == ["models[0]", "models"]
    assert "the id 'fan' is used 2 times" in found[1]
