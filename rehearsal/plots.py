"""Charts as SVG: the same data make the same file.

matplotlib takes a second to load, and is loaded to draw only.
"""

from __future__ import annotations

import html
import io
import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pictures",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.markersize": 4,
}


@dataclass(frozen=True)
class Line:
    """`values` has one a minute, NaN where there is none."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True)
class Chart:
    """`first` is the minute of every line's first value; `marks` are minutes with what was then."""

    title: str
    unit: str
    lines: Sequence[Line]
    first: float
    limit: float | None = None
    scale: str = "linear"
    marks: Sequence[tuple[float, str]] = ()
    text: str = ""


def write(shown: Sequence[Chart], path: Path, since: str, *, columns: int) -> None:
    """Write an SVG with text as text; `since` says what the minutes of `shown` are counted from."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.transforms import ScaledTranslation

    rows = math.ceil(len(shown) / columns)
    with matplotlib.rc_context(STYLE):
        size = (9, 3 * rows) if columns > 1 else (6.5, 3.5 * rows)
        figure = Figure(figsize=size, layout="constrained")
        for number, chart in enumerate(shown, 1):
            axes = figure.add_subplot(rows, columns, number)
            _plot(axes, chart, f"series-{number}")
            axes.set(xlabel=since, ylabel=chart.unit)
            if axes.get_legend_handles_labels()[1]:
                below = ScaledTranslation(0, -32 / 72, figure.dpi_scale_trans)
                place = {"bbox_to_anchor": (0, 0), "bbox_transform": axes.transAxes + below}
                axes.legend(loc="upper left", borderaxespad=0, **place)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _plot(axes: Axes, chart: Chart, group: str) -> None:
    from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter

    values = [value for line in chart.lines for value in line.values if value == value]
    for index, line in enumerate(chart.lines, 1):
        minutes = [chart.first + minute for minute in range(len(line.values))]
        alone = list(_alone(line.values))
        marker = "o" if alone else ""
        [drawn] = axes.plot(
            minutes, line.values, label=line.name, marker=marker, markevery=alone or None
        )
        drawn.set_gid(f"{group}-{index}")
        axes.set_xlim(minutes[0], minutes[-1])
    if chart.limit is not None:
        label = f"alert: {chart.limit:g} {chart.unit}"
        axes.axhline(chart.limit, color="black", linestyle="--", label=label)
    if chart.scale == "log":
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(0, 1.15 * max([*values, chart.limit or 0]) or 1)
        whole = all(value.is_integer() for value in values)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=whole))
    for minute, what in chart.marks:
        axes.axvline(minute, color="0.3", linestyle=":")
        top = (minute, axes.get_ylim()[1])
        axes.annotate(
            f"{what}: minute {minute:.0f}", top, (4, 0), textcoords="offset points", va="top"
        )
    text = textwrap.fill(chart.text, 80)
    axes.set_title(chart.title, pad=6 + 13 * len(text.splitlines()))
    axes.annotate(text, (0, 1), (0, 6), "axes fraction", textcoords="offset points")


def _alone(values: Sequence[float]) -> Iterator[int]:
    """Where a line would be no longer than a point."""
    padded = [math.nan, *values, math.nan]
    for place, value in enumerate(values):
        if value == value and math.isnan(padded[place]) and math.isnan(padded[place + 2]):
            yield place


INK: Final = "#010101"
FILLS: Final = {"#020202": "var(--one)", "#030303": "var(--two)", INK: "currentColor"}
"""What stands for a colour of the page while matplotlib draws, which knows no other kind."""

ON_A_PAGE: Final[dict[Any, Any]] = {
    "savefig.transparent": True,
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK
    ),
}


@dataclass(frozen=True)
class Bars:
    """`series` has a value for each of `labels`; the first is drawn as outlines, the second full.

    `text` says the same to who cannot see it.
    """

    caption: str
    text: str
    labels: Sequence[str]
    series: Mapping[str, Sequence[float]]
    x: str
    y: str
    limit: tuple[str, float] | None = None
    scale: str = "linear"


def inline(shown: Bars, name: str) -> str:
    """An SVG for a page that has --one and --two as colours. `name` keeps its ids from others'."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**STYLE, **ON_A_PAGE}):
        figure = Figure(figsize=(5, 3))
        figure.subplots_adjust(left=0.11, right=0.99, bottom=0.16, top=0.88)
        axes = figure.add_subplot()
        places, width = range(len(shown.labels)), 0.4
        for number, (title, values) in enumerate(shown.series.items()):
            color = list(FILLS)[number]
            at = [place + (number - 0.5) * width for place in places]
            fill = color if number else "none"
            drawn = axes.bar(at, values, width, label=title, facecolor=fill, edgecolor=color)
            for place, bar in enumerate(drawn):
                bar.set_gid(f"series-{number}-{place}")
        if shown.limit:
            axes.axhline(shown.limit[1], color=INK, linestyle="--", label=shown.limit[0])
        axes.set_xticks(places, shown.labels)
        axes.set(xlabel=shown.x, ylabel=shown.y, yscale=shown.scale)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.3, ncols=3)
        into = io.StringIO()
        figure.savefig(into, format="svg", metadata={"Date": None, "Creator": None})
    return _for_a_page(into.getvalue(), shown.text, name)


def _for_a_page(svg: str, text: str, name: str) -> str:
    svg = re.sub(r"<(metadata|style).*?</\1>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    for color, css in FILLS.items():
        svg = svg.replace(color, css)
    opening, _, rest = svg.partition(">")
    opening = re.sub(r' (width|height)="[^"]*"', "", opening)
    return f'{opening} role="img" aria-label="{html.escape(text)}">{rest}'
