"""Run benchmarks, all or those named. Ends with 1 when a ratio misses its budget."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Final

import click

from benchmarks.table import Ratio, show_ratios

BENCHMARKS: Final = ("server", "decisions", "preview", "models", "rehearsal", "policies")


@click.command(help=__doc__)
@click.argument("names", nargs=-1, type=click.Choice(BENCHMARKS))
def main(names: tuple[str, ...]) -> None:
    ratios: list[Ratio] = []
    for name in names or BENCHMARKS:
        ratios += import_module(f"benchmarks.{name}").run()
    sys.exit(0 if show_ratios(ratios) else 1)


if __name__ == "__main__":
    main()
