"""Google Cloud on loopback, with IAM enforced. simulator/README.md says what it can do."""

from __future__ import annotations

import gc
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

from simulator.api.errors import ApiError
from simulator.core.clock import Clock
from simulator.core.delays import GOOGLES, RATE, Delays
from simulator.google import GoogleCloud
from simulator.seed import SeedError, plant, read
from simulator.serve.acting import acting
from simulator.serve.programs import LEADING, MARK, STAY, end_all, write_private
from simulator.serve.proxy import Running, serve

NOBODY: Final = "nobody has a grant in the seed; say with --as who calls"


@click.command(help=__doc__)
@click.option("--seed", type=click.File(), help="YAML: what is there at first; - for stdin.")
@click.option("--as", "member", help="Who calls: an e-mail. Default: the first grant's.")
@click.option("--iam-delay", default=Delays().iam, show_default=True, help="Seconds.")
@click.option("--api-delay", default=Delays().api, show_default=True, help="Seconds.")
@click.option("--operation-delay", default=Delays().operation, show_default=True, help="Seconds.")
@click.option(
    "--slow", is_flag=True, help=f"As slow as Google, on a clock {RATE:.0f} times as fast."
)
@click.option("--directory", type=Path, help="Private, and stays; a temporary one otherwise.")
@click.option(
    "--stop-with-parent",
    is_flag=True,
    help="For programs: the seed is the first line of standard input, and the cloud ends with it, "
    "unless its last line is `stay`.",
)
@click.option("--temporary", is_flag=True, help="End what works in --directory, and remove it.")
@click.argument("command", nargs=-1)
def main(
    seed: Any,
    member: str | None,
    iam_delay: float,
    api_delay: float,
    operation_delay: float,
    slow: bool,
    directory: Path | None,
    stop_with_parent: bool,
    temporary: bool,
    command: tuple[str, ...],
) -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    delays = GOOGLES if slow else Delays(iam_delay, api_delay, operation_delay)
    cloud = GoogleCloud(clock=Clock(rate=RATE if slow else 1.0), delays=delays)
    try:
        if stop_with_parent:
            content = json.loads(sys.stdin.readline() or "{}")
        else:
            content = read(seed.read(), seed.name) if seed else {}
        plant(cloud, content)
    except (SeedError, ApiError) as error:
        raise click.ClickException(str(error)) from None
    member = member or next((grant["member"] for grant in content.get("grants", ())), None)
    if command and not member:
        raise click.UsageError(NOBODY)
    home = directory or Path(tempfile.mkdtemp(prefix="simulator-"))
    threading.Thread(target=_warm_up, daemon=True).start()
    code = 0
    try:
        with serve(cloud, home) as running:
            if command or not stop_with_parent:
                project = next((item["id"] for item in content.get("projects", ())), "")
                variables = running.environment()
                if member:
                    variables = acting(cloud, running, home, member, project)
            if command:
                code = _run(command, {**variables, MARK: str(home)}, stop)
            elif stop_with_parent:
                _announce(running, home)
                given = (stop, home)
                threading.Thread(target=_wait_for_end_of_input, args=given, daemon=True).start()
                stop.wait()
            else:
                _show(home, variables, member)
                stop.wait()
    finally:
        if temporary or directory is None:
            end_all(str(home))
            shutil.rmtree(home, ignore_errors=True)
    sys.exit(code)


def _run(command: tuple[str, ...], variables: dict[str, str], stop: threading.Event) -> int:
    """Run it to its end, or until this process is told to end; its exit status."""
    clean = {name: it for name, it in os.environ.items() if not name.startswith(LEADING)}
    try:
        program = subprocess.Popen(command, env={**clean, **variables})
    except OSError as error:
        raise click.ClickException(f"{command[0]}: {error.strerror}") from None
    while program.poll() is None:
        if stop.wait(0.05):
            program.terminate()
            program.wait()
    return program.returncode if program.returncode >= 0 else 128 - program.returncode


def _show(home: Path, variables: dict[str, str], member: str | None) -> None:
    script = home / "environment.sh"
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(variables.items())]
    write_private(script, "\n".join(lines) + "\n")
    who = f"calls come from {member}" if member else NOBODY
    print(f"# Google Cloud on loopback until Ctrl-C; {who}. In another shell:", file=sys.stderr)
    print(f"#   . {script}", file=sys.stderr)
    print("\n".join(lines), flush=True)


def _announce(running: Running, home: Path) -> None:
    """For the program that started this one: where the cloud is, and how it is controlled."""
    ready = home / "ready.json"
    content = {
        "pid": os.getpid(),
        "proxy_url": running.proxy_url,
        "ca_bundle": str(running.ca_bundle),
        "control_url": running.control_url,
        "control_token": running.control_token,
        "environment": running.environment(),
    }
    write_private(ready, json.dumps(content))
    print(ready, flush=True)


def _warm_up() -> None:
    import_module("sklearn.ensemble")  # the first deployment would wait for it
    # What is here now stays; each full collection would go through it again.
    gc.freeze()


def _wait_for_end_of_input(stop: threading.Event, home: Path) -> None:
    if sys.stdin.read().split()[-1:] != [STAY]:
        stop.set()
        return
    # Whoever reads what the process that started this one writes is not to wait for this one too.
    errors = os.open(home / "errors.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(errors, sys.stderr.fileno())
    os.close(errors)


if __name__ == "__main__":
    main()
