"""What a benchmark found, and whether it is within its budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table

CONSOLE: Final = Console()


@dataclass(frozen=True)
class Ratio:
    """`value` against a bound that it has to keep: at least or at most, where there is one."""

    name: str
    value: float
    least: float | None = None
    most: float | None = None

    @property
    def kept(self) -> bool:
        above = self.least is None or self.value >= self.least
        return above and (self.most is None or self.value <= self.most)

    @property
    def bound(self) -> str:
        if self.least is not None:
            return f"at least {self.least:g}"
        return f"at most {self.most:g}" if self.most is not None else ""


def show_figures(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    CONSOLE.print(title, style="bold", highlight=False)
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    CONSOLE.print(table)
    CONSOLE.print()


def show_ratios(ratios: list[Ratio]) -> bool:
    """Print each ratio with its bound; whether all of them are kept."""
    rows = [
        (ratio.name, f"{ratio.value:.2f}", ratio.bound, "kept" if ratio.kept else "MISSED")
        for ratio in ratios
    ]
    show_figures("ratios", ("what", "ratio", "budget", ""), rows)
    return all(ratio.kept for ratio in ratios)
