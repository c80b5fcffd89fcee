"""Serve a simulated cloud: `python -m simulator --directory D < seed.json`."""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import signal
import sys
import threading
from importlib import import_module
from pathlib import Path

from simulator.core.clock import Clock
from simulator.core.delays import GOOGLES, RATE, Delays
from simulator.google import GoogleCloud
from simulator.seed import plant, read
from simulator.serve.leftovers import MARK, end_all
from simulator.serve.proxy import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="private; made if need be")
    parser.add_argument("--seed", type=Path, help="JSON file; read from standard input otherwise")
    parser.add_argument("--iam-delay", type=float, default=Delays().iam, metavar="SECONDS")
    parser.add_argument("--api-delay", type=float, default=Delays().api, metavar="SECONDS")
    parser.add_argument(
        "--operation-delay", type=float, default=Delays().operation, metavar="SECONDS"
    )
    parser.add_argument(
        "--slow",
        action="store_true",
        help=f"take as long as Google does, on a clock that runs {RATE:.0f} times as fast",
    )
    parser.add_argument(
        "--stop-with-parent",
        action="store_true",
        help="stop when standard input closes; the seed is then its first line, or --seed",
    )
    parser.add_argument(
        "--temporary",
        action="store_true",
        help=f"end what works in the directory (its {MARK} names it) and remove it at the end",
    )
    options = parser.parse_args()

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    if options.slow:
        cloud = GoogleCloud(clock=Clock(rate=RATE), delays=GOOGLES)
    else:
        cloud = GoogleCloud(
            delays=Delays(options.iam_delay, options.api_delay, options.operation_delay)
        )
    if options.seed:
        plant(cloud, read(options.seed.read_text(), str(options.seed)))
    else:
        text = sys.stdin.readline() if options.stop_with_parent else sys.stdin.read()
        plant(cloud, json.loads(text or "{}"))
    threading.Thread(target=warm_up, daemon=True).start()
    with serve(cloud, options.directory) as running:
        ready = options.directory / "ready.json"
        write_private(
            ready,
            {
                "pid": os.getpid(),
                "proxy_url": running.proxy_url,
                "ca_bundle": str(running.ca_bundle),
                "control_url": running.control_url,
                "control_token": running.control_token,
                "environment": running.environment(),
            },
        )
        print(ready, flush=True)
        if options.stop_with_parent:
            threading.Thread(target=wait_for_end_of_input, args=(stop,), daemon=True).start()
        stop.wait()
    if options.temporary:
        end_all(str(options.directory))
        shutil.rmtree(options.directory, ignore_errors=True)


def warm_up() -> None:
    import_module("sklearn.ensemble")  # the first deployment would wait for it
    # What is here now stays; each full collection would go through it again.
    gc.freeze()


def wait_for_end_of_input(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


def write_private(path: Path, content: dict[str, object]) -> None:
    """Readable by the owner only, and complete as soon as it is there."""
    partial = path.with_suffix(".partial")
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file)
    partial.replace(path)


if __name__ == "__main__":
    main()
