"""A cloud that stays up after its rehearsal, to be used by hand."""

from __future__ import annotations

import signal
import threading

from rehearsal.engine import Engine
from rehearsal.run import Rehearsal


def wait(run: Rehearsal) -> None:
    """Leave the cloud up until Ctrl-C, and say how to use it by hand."""
    script = run.sandbox.directory / "environment.sh"
    lines = [f"export {name}='{value}'" for name, value in sorted(by_hand(run.engine).items())]
    script.write_text("\n".join(lines) + "\n")
    run.report.console.print(
        f"\nThe cloud stays up until Ctrl-C. In another shell:\n\n"
        f"  . {script}\n  cd {run.engine.directory}\n",
        highlight=False,
    )
    stopped = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stopped.set())
    stopped.wait()
    run.report.console.print("ending")


def by_hand(engine: Engine) -> dict[str, str]:
    """What a shell needs for `pulumi`, `gcloud` and `bq` on the stack."""
    # Not among the engine's own variables: the gcp provider would take its project from it.
    project = engine.environment.settings.project
    return {**engine.variables, "CLOUDSDK_CORE_PROJECT": project}
