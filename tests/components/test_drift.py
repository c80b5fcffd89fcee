"""What finds the drift of a sensor, and what the monitoring job is told of a reading."""

from __future__ import annotations

from components.drift import LOG, anomalies, schema
from simulator.services.logging.query import compiled
from simulator.services.vertex import distributions


def entry(*sensors: str, project: str = "iot-staging") -> dict[str, object]:
    """As docs vertex-ai/docs/model-monitoring/using-model-monitoring shows one."""
    return {
        "logName": f"projects/{project}/logs/{LOG}",
        "resource": {"type": "aiplatform.googleapis.com/ModelDeploymentMonitoringJob"},
        "jsonPayload": {
            "featureAnomalies": [
                {"featureDisplayName": sensor, "deviation": 0.9, "threshold": 0.3}
                for sensor in sensors
            ]
        },
    }


def test_an_alert_finds_its_own_sensor_among_all_that_drifted_and_no_other() -> None:
    finds = {sensor: compiled(anomalies("iot-staging", sensor)) for sensor in ("f1", "f2", "f10")}

    def found(*sensors: str) -> list[str]:
        return [sensor for sensor, matches in finds.items() if matches(entry(*sensors))]

    assert found("f1") == ["f1"]
    assert found("f10", "f2") == ["f2", "f10"]
    assert found("f3") == []
    assert not finds["f1"](entry("f1", project="iot-prod"))


def test_a_reading_is_described_in_the_order_of_the_sensors() -> None:
    sensors = ("yes", "heat", "f1")
    told = distributions.schema(schema(sensors).encode(), "gs://b/reading.yaml")
    assert list(told.items()) == [(sensor, "number") for sensor in sensors]
