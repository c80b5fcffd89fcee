"""What a stack made, as its state has it, and who may do what by it since the last run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from access import diff
from rehearsal.report import Stage
from rehearsal.run import Rehearsal

ROOT_TYPE: Final = "pulumi:pulumi:Stack"


def take(run: Rehearsal, stage: Stage) -> None:
    """Note each resource with its parents, and how access differs from that of the last run."""
    found = {resource["urn"]: resource for resource in run.engine.resources()}
    made = created(found)
    summary, last = run.report.summary, run.report.last()
    summary["created"] = made
    summary["grants"] = {"at": summary["at"], "resources": diff.granting(found)}
    if before := last.get("grants"):
        between = diff.between(before["resources"], summary["grants"]["resources"])
        summary["access"] = {"since": before["at"], **asdict(between)}
    parts = {it["component"] for it in made} - {""}
    stage.note = f"{len(made)} resources in {len(parts)} components"


def created(resources: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """Each resource that is something by itself: its outermost component, type, name and parent.

    `resources` is by URN. What is in no component has none, and providers are left out.
    """
    found = []
    for resource in resources.values():
        type_, name = resource["type"], _name(resource["urn"])
        if not resource.get("custom") or type_.startswith("pulumi:"):
            continue
        above, at = [], resource.get("parent", "")
        while at in resources and resources[at]["type"] != ROOT_TYPE:
            above.append(_name(at))
            at = resources[at].get("parent", "")
        found.append(
            {
                "component": above[-1] if above else "",
                "type": type_,
                "name": name,
                "parent": above[0] if above else "",
            }
        )
    return found


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]
