"""The serving quota, read and lowered by Google's own client."""

from __future__ import annotations

from typing import Any

import pytest
from googleapiclient.errors import HttpError

from simulator.services.serviceusage import Services
from tests.simulator.support.service import NUMBER, PROJECT, Sandbox

PARENT = f"projects/{PROJECT}/services/aiplatform.googleapis.com"
METRIC, UNIT = "aiplatform.googleapis.com/custom_model_serving_cpus", "1/{project}/{region}"


@pytest.fixture(autouse=True)
def on(sandbox: Sandbox) -> None:
    sandbox.cloud[Services].seed(PROJECT, ["serviceusage.googleapis.com"])


def limit(quotas: Any) -> str:
    (metric,) = quotas.list(parent=PARENT, view="FULL").execute()["metrics"]
    assert metric["name"].startswith(f"projects/{NUMBER}/") and metric["metric"] == METRIC
    (bucket,) = metric["consumerQuotaLimits"][0]["quotaBuckets"]
    return str(bucket["effectiveLimit"])


def set_to(sandbox: Sandbox, quotas: Any, value: int) -> None:
    override = {"metric": METRIC, "unit": UNIT, "overrideValue": str(value)}
    body = {"inlineSource": {"overrides": [override]}, "force": True}
    quotas.importConsumerOverrides(parent=PARENT, body=body).execute()
    sandbox.cloud.clock.step(sandbox.cloud.delays.operation)


def test_a_quota_is_set_enforced_and_lifted(sandbox: Sandbox, endpoint: str, model: str) -> None:
    quotas = sandbox.google("serviceusage", "v1beta1").services().consumerQuotaMetrics()
    assert limit(quotas) == "-1"
    set_to(sandbox, quotas, 1)
    assert limit(quotas) == "1"
    machine = {"machine_spec": {"machine_type": "n1-standard-2"}, "min_replica_count": 1}
    deployed = {"model": model, "dedicated_resources": machine}
    with pytest.raises(Exception, match="CustomModelServingCPUsPerProjectPerRegion 2"):
        sandbox.endpoints().deploy_model(endpoint=endpoint, deployed_model=deployed)
    set_to(sandbox, quotas, -1)
    assert limit(quotas) == "-1"


def test_quotas_are_read_by_who_may(sandbox: Sandbox) -> None:
    quotas = sandbox.google("serviceusage", "v1beta1", "serving").services().consumerQuotaMetrics()
    with pytest.raises(HttpError, match=r"serviceusage\.quotas\.get"):
        quotas.list(parent=PARENT).execute()
