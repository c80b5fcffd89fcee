"""A stack that declares an environment as a whole, made into two: what is moved to the rollout's.

Pulumi moves resources from one state to another without touching what they stand for
(pulumi.com, "pulumi state move"); what is below a component goes with it.
"""

from __future__ import annotations

import shlex
from typing import Any, Final

from vertexops.schema import FIXED_SETTINGS

PARTS: Final = frozenset(
    {
        *(
            f"predictive-maintenance:components:{name}"
            for name in ("Uploads", "Observability", "Serving", "Routing", "Devices", "Drift")
        ),
        FIXED_SETTINGS,
    }
)
"""The components that the rollout declares (components/rollout.py), and what remembers the layer
that the stack had: without it the stack may become another one."""


def moved(state: dict[str, Any]) -> list[str]:
    """URNs of the rollout's part in an exported state."""
    resources = state["deployment"].get("resources") or []
    return [resource["urn"] for resource in resources if resource["type"] in PARTS]


def script(state: dict[str, Any], rollout: str) -> str:
    """What moves them to the stack `rollout`, for a shell. Raises ValueError when none is there."""
    if not (urns := moved(state)):
        raise ValueError("the state has none of a rollout's components: nothing is to be moved")
    stack = urns[0].split(":")[2]
    move = f"pulumi state move --yes --source {shlex.quote(stack)} --dest {shlex.quote(rollout)}"
    return "\n".join(
        [
            f"pulumi stack init {shlex.quote(rollout)}  # unless it is there",
            " \\\n  ".join([move, *map(shlex.quote, urns)]),
        ]
    )
