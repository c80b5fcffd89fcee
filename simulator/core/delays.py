"""How long the cloud takes: hardly any time, or as long as Google."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MINUTE: Final = 60.0


@dataclass(slots=True)
class Delays:
    """Seconds until a change takes effect: IAM, API enablement; and until operations finish.

    `kinds` has the operations that take another time, by what starts the name of their metadata.
    """

    iam: float = 0.5
    api: float = 0.5
    operation: float = 0.1
    kinds: Mapping[str, float] = field(default_factory=dict)

    def of(self, metadata: Mapping[str, Any]) -> float:
        return self.kinds.get(kind_of(metadata), self.operation)


def kind_of(metadata: Mapping[str, Any]) -> str:
    """`DeployModel` for an operation's metadata of type `….DeployModelOperationMetadata`."""
    name = str(metadata.get("@type", "")).rpartition(".")[2]
    return name.removesuffix("OperationMetadata") or "Operation"


# Only the propagation of IAM is documented by Google (gcp-facts/03_custom_roles.md: "typically 2
# minutes, potentially 7 minutes or longer"). Enabling an API asks to "wait a few minutes" in the
# text of the error that it is off (gcp-facts/02_errors.md, JSON C): 3 are inferred. How long
# operations take is documented nowhere; all of these are inferred: deploying from clients that give
# up after 15 minutes (googleapis/python-aiplatform#3329), undeploying from samples that wait for 3
# (googleapis/java-aiplatform#7).
GOOGLES: Final = Delays(
    iam=2 * MINUTE,
    api=3 * MINUTE,
    operation=20.0,
    kinds={
        "CreateEndpoint": 30.0,
        "UploadModel": 2 * MINUTE,
        "DeployModel": 10 * MINUTE,
        "MutateDeployedModel": 5 * MINUTE,
        "UndeployModel": 3 * MINUTE,
        "Delete": 30.0,
    },
)
RATE: Final = 60.0
"""Seconds of the cloud's clock in one of the wall clock, when it takes as long as Google."""
