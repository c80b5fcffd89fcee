"""How deep the simulation goes: methods, fields and parameters of the discovery documents.

python -m simulator.coverage                        prints docs/reference/simulated.md
python -m simulator.coverage simulator/README.md    writes that page's tables anew
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from simulator.api.calls import Methods
from simulator.api.discovery import CLEARBLADE, HOSTS, OAUTH, Method, document
from simulator.api.honoured import Honoured, Shape, Verdict
from simulator.google import GoogleCloud
from simulator.seed import Seed

CLOUD: Final = GoogleCloud()
VERDICTS: Final[tuple[Verdict, ...]] = ("honoured", "ignored", "refused")

HEAD: Final = """# What is simulated

By service: how many of the methods in Google's discovery documents are handled, and what becomes of
the fields and parameters that the handled ones take. *Honoured* ones take effect, or are kept and
given back. *Ignored* ones Google ignores as well: they are output only, or the reason is below.
*Refused* ones are answered 501 with their name, as are all other methods.

One is not Google's: `clearblade`, of which only calls and parameters are counted, as its Python
library makes them. What it answers, and what of that is inferred, is said in
`simulator/services/clearblade/__init__.py`.

This page is written by `make docs`.
"""


@dataclass
class Depth:
    """Of one API, all its versions together. A field is counted once for each schema it is in."""

    methods: int = 0
    handled: int = 0
    fields: dict[str, Verdict] = field(default_factory=dict)
    parameters: dict[str, Verdict] = field(default_factory=dict)


def depths() -> dict[str, Depth]:
    """API → how deep it is simulated."""
    found: dict[str, Depth] = {}
    handlers, table = CLOUD[Methods], CLOUD[Honoured]
    for api, method in methods():
        depth = found.setdefault(api, Depth())
        depth.methods += 1
        if handler := handlers.get(method.id):
            depth.handled += 1
            for name in method.query:
                key = f"{method.id.removeprefix(f'{api}.')} {name}"
                depth.parameters[key] = table.parameter(method, handler.reads, name)
            if shape := table.shape(method):
                depth.fields |= _fields(shape, set())
    return found


def methods() -> Iterator[tuple[str, Method]]:
    """Every method of every served API once, with the API's name."""
    served = {(api, version) for parts in HOSTS.values() for _, api, version in parts}
    served.add((CLEARBLADE, "v4"))
    for api, version in sorted(served):
        if api != OAUTH:
            for method in document(api, version).methods():
                yield api, method


def _fields(shape: Shape, seen: set[str]) -> dict[str, Verdict]:
    if shape.path in seen:
        return {}
    seen.add(shape.path)
    found: dict[str, Verdict] = {
        f"{shape.path}.{name}": shape.verdict(name) for name in shape.names
    }
    for name in shape.names:
        if shape.verdict(name) == "honoured" and (below := shape.below(name)):
            found |= _fields(below, seen)
    return found | (_fields(shape.values, seen) if shape.values else {})


def page() -> str:
    """The whole of docs/reference/simulated.md."""
    rows = [
        "| service | methods | fields | | | parameters | | |",
        "|---|---|---|---|---|---|---|---|",
        "| | handled of all | honoured | ignored | refused | honoured | ignored | refused |",
    ]
    found = depths()
    for api, depth in found.items():
        counts = [
            str(sum(verdict == wanted for verdict in items.values()))
            for items in (depth.fields, depth.parameters)
            for wanted in VERDICTS
        ]
        rows.append(f"| {api} | {depth.handled} of {depth.methods} | {' | '.join(counts)} |")
    reasons = [
        f"- {api}: `{name}`: {why}"
        for api, table in sorted(CLOUD[Honoured].tables.items())
        for name, why in sorted(table.ignored.items())
    ]
    refused = [
        f"- {api}: {', '.join(f'`{name}`' for name in _refused(depth))}"
        for api, depth in found.items()
        if _refused(depth)
    ]
    return "\n".join(
        [
            *(HEAD, *rows, ""),
            *("## Ignored, and why", "", *reasons, ""),
            *("## Refused", "", *refused, ""),
        ]
    )


def _refused(depth: Depth) -> list[str]:
    both = {**depth.fields, **depth.parameters}
    return sorted(name for name, verdict in both.items() if verdict == "refused")


def readme(text: str) -> str:
    """simulator/README.md with its two tables anew: methods by document, and a seed's keys."""
    handled: Counter[tuple[str, str]] = Counter()
    known: Counter[tuple[str, str]] = Counter()
    for api, method in methods():
        known[api, method.version] += 1
        handled[api, method.version] += CLOUD[Methods].get(method.id) is not None
    depth = ["| document | handled | methods |", "|---|---|---|"]
    depth += [f"| {api} {v} | {handled[api, v]} | {count} |" for (api, v), count in known.items()]
    schema = Seed.model_json_schema()
    keys = ["| key | | what |", "|---|---|---|"]
    for name, part in [("", schema), *sorted(schema["$defs"].items())]:
        for key, about in part["properties"].items():
            way = f"{name.lower()} `{key}`".strip()
            needed = "required" if key in part.get("required", ()) else ""
            keys.append(f"| {way} | {needed} | {about['description']} |")
    for mark, table in (("depth", depth), ("seed", keys)):
        before, start, rest = text.partition(f"<!-- {mark} -->\n")
        after = rest.partition("<!-- end -->")[2]
        text = "\n".join([before + start.rstrip(), *table, f"<!-- end -->{after}"])
    return text


if __name__ == "__main__":
    if sys.argv[1:]:
        written = Path(sys.argv[1])
        written.write_text(readme(written.read_text()))
    else:
        print(page(), end="")
