"""Whether a rehearsal in fast motion took as long as Google takes (`simulator.core.delays`)."""

from __future__ import annotations

from typing import Final

from components import permissions as table
from rehearsal.report import Stage, StageFailed
from rehearsal.run import Rehearsal
from simulator.core.delays import GOOGLES, MINUTE

SET_POLICY: Final = "resourcemanager.projects.setIamPolicy"


def demand_waiting(run: Rehearsal, stage: Stage) -> None:
    """Nothing may have happened faster than at Google, by the cloud's own clock."""
    told = run.sandbox.control("GET", "/clock")
    access = access_seconds(run)
    run.report.summary |= {
        "simulated_seconds": told["gone"],
        "shortest_operations": told["shortest_operations"],
        "access_seconds": access,
    }
    deployed = told["shortest_operations"]["DeployModel"]
    stage.note = (
        f"{told['gone'] / MINUTE:.0f} min simulated; access after "
        f"{access / MINUTE:.1f}, deployed in {deployed / MINUTE:.1f}"
    )
    hasty = [
        f"{kind} took {seconds:.0f} s"
        for kind, seconds in told["shortest_operations"].items()
        if seconds < GOOGLES.kinds.get(kind, GOOGLES.operation)
    ]
    if access < GOOGLES.iam:
        hasty.append(f"the deployer's access took {access:.0f} s")
    if hasty:
        raise StageFailed("something was faster than at Google", "\n".join(hasty))


def access_seconds(run: Rehearsal) -> float:
    """From the first grant on the project to the first use that the deployer made of its own."""
    deployer = run.environment.settings.member(table.DEPLOYER)
    granted = [entry for entry in run.audit() if entry["granted"]]
    first = {
        "grant": next(e["time"] for e in granted if e["permission"] == SET_POLICY),
        "use": next(e["time"] for e in granted if e["principal"] == deployer),
    }
    return float(first["use"] - first["grant"])
