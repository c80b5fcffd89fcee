"""A cloud that stays up after its rehearsal, for people who work on one stage, or by hand.

`up --keep` leaves it and `end` ends it. It is found by its command line, so that none is forgotten;
its private folder, which goes with it, holds the stack and a record of what it was made for.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import psutil

from rehearsal import environment as environments
from rehearsal.engine import Engine
from rehearsal.environment import Environment
from rehearsal.layers import engine_of
from rehearsal.report import Report
from rehearsal.run import Options, Rehearsal, load, with_grants
from rehearsal.sandbox import READY_SECONDS, KeptSandbox
from rehearsal.toolchain import gcp_plugin
from simulator.serve.programs import write_private

RECORD: Final = "kept.json"


class NotKept(ValueError):
    """There is no such cloud, or it does not fit what is asked of it; the message says what to do.

    Also when there is one already and another one is to be kept.
    """


@dataclass(frozen=True)
class Kept:
    """What was made for whom. `folder` is the report's, which tells clouds of one stack apart."""

    folder: str
    since: str
    options: Mapping[str, Any]
    values: Mapping[str, Any]
    """The settings of the stack when it was kept."""
    beginnings: Mapping[str, Any]
    before: Mapping[str, list[str]]
    passphrase: str


@dataclass(frozen=True)
class Found:
    """A cloud that runs, and the process that serves it."""

    process: psutil.Process
    directory: Path
    kept: Kept


def find(report: Report) -> Found | None:
    """The cloud that is kept with the summary of `report`."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError, ValueError):
            words = process.cmdline()
            if "simulator" in words and "--directory" in words:
                directory = Path(words[words.index("--directory") + 1])
                kept = Kept(**json.loads((directory / RECORD).read_text()))
                if kept.folder == _folder(report):
                    return Found(process, directory, kept)
    return None


def _folder(report: Report) -> str:
    return str((report.output or report.folder).resolve())


def _found(report: Report) -> Found:
    if found := find(report):
        return found
    raise NotKept(
        f"no cloud of {report.stack} is kept; `{_command(report, 'up')} --keep` leaves one up"
    )


def demand_none(report: Report) -> None:
    """Raises NotKept when another one would be forgotten over a new one."""
    if found := find(report):
        raise NotKept(
            f"a cloud of {report.stack} is kept already, since {found.kept.since}; "
            f"`{_command(report, 'end')}` ends it"
        )


def remind(report: Report) -> None:
    """Say that there is one, and how to end it."""
    if found := find(report):
        report.console.print(
            f"A cloud of {report.stack} is up since {found.kept.since}; "
            f"`{_command(report, 'end')}` ends it.",
            highlight=False,
            soft_wrap=True,
        )


def keep(run: Rehearsal) -> None:
    """Leave the cloud up when this process ends, and say how to go on."""
    directory, report = run.sandbox.directory, run.report
    script = directory / "environment.sh"
    lines = [f"export {name}='{value}'" for name, value in sorted(by_hand(run.engine).items())]
    script.write_text("\n".join(lines) + "\n")
    kept = Kept(
        _folder(report),
        datetime.now().astimezone().isoformat(" ", "seconds"),
        asdict(run.options),
        run.environment.values,
        environments.beginnings(run.environment),
        run.before,
        run.engine.variables["PULUMI_CONFIG_PASSPHRASE"],
    )
    write_private(directory / RECORD, json.dumps(asdict(kept)))
    run.sandbox.stay()
    up, end = _command(report, "up"), _command(report, "end")
    report.console.print(
        f"\nThe cloud stays up with the stack in it.\n\n"
        f"  {up} --only STAGE   plays one stage again\n"
        f"  {up} --from STAGE   plays it and those after it\n"
        f"  {end}               ends it\n\n"
        f"By hand, signed in for a day:\n\n"
        f"  . {script}\n  cd {run.engine.directory}\n",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


@contextmanager
def opened_again(options: Options, report: Report) -> Iterator[Rehearsal]:
    """The kept rehearsal with the settings as they are now, and what is asked of it beyond.

    Raises NotKept, UnknownStack, UnknownCaller, SettingsError.
    """
    found = _found(report)
    options = _added(options, Options(**found.kept.options))
    environment = load(options, report)
    _demand_fitting(found.kept, environment, report)
    plugin = gcp_plugin(options.provider)
    report.summary |= {"provider": plugin.kind, "kept": True}
    with KeptSandbox(found.directory, slow=options.slow) as sandbox:
        program = with_grants(environment, options.grants)
        passphrase = found.kept.passphrase
        engine = engine_of(
            sandbox, environment, plugin, program, attached=True, passphrase=passphrase
        )
        yield Rehearsal(sandbox, engine, found.kept.before, options, report)


def _added(asked: Options, kept: Options) -> Options:
    """What was asked for when the cloud was kept, and now."""
    return replace(
        kept,
        keep=asked.keep,
        pictures=asked.pictures,
        grants=(*kept.grants, *asked.grants),
        provider=kept.provider if asked.provider == "auto" else asked.provider,
        faults=kept.faults if asked.faults is None else asked.faults,
        fault_rate=kept.fault_rate if asked.faults is None else asked.fault_rate,
        settings={**kept.settings, **asked.settings},
    )


def _demand_fitting(kept: Kept, environment: Environment, report: Report) -> None:
    """The cloud has to be what it would be if it were made now. Raises NotKept."""
    if json.loads(json.dumps(environments.beginnings(environment))) == kept.beginnings:
        return
    now = json.loads(json.dumps(environment.values))
    changed = [key for key in sorted({*now, *kept.values}) if now.get(key) != kept.values.get(key)]
    raise NotKept(
        f"the kept cloud holds what {report.stack} was before, and that has changed "
        f"({', '.join(changed) or 'the permission table'}); `{_command(report, 'end')}`, and "
        "keep a new one"
    )


def end(report: Report) -> Path:
    """End the kept cloud and all that works in it: the folder that is gone. Raises NotKept."""
    found = _found(report)
    found.process.terminate()
    deadline = time.monotonic() + READY_SECONDS
    while _lives(found.process):
        if time.monotonic() > deadline:
            raise NotKept(f"process {found.process.pid} does not end")
        time.sleep(0.02)
    return found.directory


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def by_hand(engine: Engine) -> dict[str, str]:
    """What a shell needs for `pulumi`, `gcloud` and `bq` on the stack."""
    # Not among the engine's own variables: the gcp provider would take its project from it.
    project = engine.environment.settings.project
    return {**engine.variables, "CLOUDSDK_CORE_PROJECT": project}


def _command(report: Report, verb: str) -> str:
    output = f" --output {os.path.relpath(report.output)}" if report.output else ""
    return f"python -m rehearsal {verb} {report.stack}{output}"
