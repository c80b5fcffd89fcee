"""A rehearsal for people who did not watch: one HTML file by itself, and Markdown.

Both say what summary.json has and what the last proof beside it came to, and nothing else.
"""

from __future__ import annotations

import html as escaping
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from access import comment, diff
from access.diff import Change, Diff, Way
from rehearsal.plots import Bars, inline
from rehearsal.report import write_whole

Summary = Mapping[str, Any]

HOURS_A_MONTH: Final = 8760 // 12
MOST_OF_AN_ERROR: Final = 4000
"""Characters, in Markdown."""

PARTS: Final = re.compile(r"(?<=[./@:])|(?<=[a-z])(?=[A-Z])")
"""Where one part of a name ends and the next begins."""

NO_COMPONENT: Final = "the stack itself"
OF_A_PROOF: Final = "-proof"
"""Ends the name of a stack's proof, as a report and as a folder."""


def write(folder: Path, summary: Summary) -> Path:
    """Write report.html and report.md beside summary.json, with the last proof; the HTML file."""
    told = {**summary, "proof": last_proof(folder)}
    write_whole(folder / "report.md", "\n".join(markdown(told)) + "\n")
    write_whole(folder / "report.html", html(told))
    return folder / "report.html"


def last_proof(folder: Path) -> dict[str, Any]:
    """What the last proof beside a rehearsal's folder came to; empty when there is none."""
    proof = folder.with_name(folder.name + OF_A_PROOF)
    try:
        found = json.loads((proof / "summary.json").read_text())
    except (OSError, ValueError):
        return {}
    told = {key: found.get(key) for key in ("at", "passed", "spare", "missing")}
    there = (proof / "report.html").is_file()
    return {**told, "link": f"../{proof.name}/report.html" if there else ""}


def html(summary: Summary) -> str:
    """The page. It asks the network for nothing, and needs no script."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup, escape

    def breakable(text: Any) -> Markup:
        """A long name may go on in the next line where one of its parts ends."""
        return Markup(PARTS.sub("<wbr>", str(escape(text))))

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"breakable": breakable, "some": diff.some}
    told = facts(summary)
    told["plots"] = [
        {"caption": it.caption, "svg": inline(it, f"plot{number}")}
        for number, it in enumerate(plots(summary))
    ]
    return environment.get_template("page.html.j2").render(told)


def facts(summary: Summary) -> dict[str, Any]:
    """What the page says, by the names of its template."""
    found = access(summary)
    stages = list(_stages(summary))
    return {
        "stack": summary["stack"],
        "passed": summary["passed"],
        "verdict": verdict(summary),
        "lead": _lead(summary),
        "asked": [(name, _given(value)) for name, value in summary.get("asked", {}).items()],
        "failures": summary.get("failures", []),
        "explained": summary.get("denial", {}).get("explained", []),
        "stages": stages,
        "access": found,
        "since": moment(summary["access"]["since"]) if found is not None else "",
        "not_compared": _not_compared(summary),
        "stronger": list(diff.by_member(found.stronger)) if found else [],
        "weaker": list(diff.by_member(found.weaker)) if found else [],
        "policy": policy(summary),
        "identities": list(identities(summary)),
        "components": components(summary),
        "service": list(service(summary)),
        "proof": proof(summary),
        "hours": hours(summary),
        "facts": list(_facts(summary)),
    }


def _given(value: Any) -> str:
    """An option's value, as it is given on the command line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={json.dumps(it)}" for key, it in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def verdict(summary: Summary) -> str:
    what = "the proof" if summary["stack"].endswith(OF_A_PROOF) else "the rehearsal"
    return f"{what} {'passed' if summary['passed'] else 'failed'}"


def moment(text: str | None) -> str:
    """Such as `29 November 2026, 01:28 UTC`, of an ISO time."""
    if not text:
        return "an unknown time"
    at = datetime.fromisoformat(text)
    return f"{at.day} {at:%B %Y, %H:%M} {at.tzname()}"


def _lead(summary: Summary) -> str:
    by = {"standin": "our stand-in for the gcp plugin", "official": "the official gcp plugin"}
    plugin = by.get(summary.get("provider", ""))
    made = f", with {plugin}" if plugin else ""
    return f"{moment(summary.get('at'))}, on a simulated Google Cloud{made}."


def _facts(summary: Summary) -> Iterator[dict[str, Any]]:
    """One line for each section, in its order; `fine` is None where nothing was to hold."""

    def fact(section: str, name: str, text: str, fine: bool | None = None) -> dict[str, Any]:
        return {"section": section, "name": name, "text": text, "fine": fine}

    stages = list(_stages(summary))
    failed = [stage["name"] for stage in stages if not stage["held"]]
    whole = f"{len(stages)} held, in {max((it['end'] for it in stages), default=0):.0f} seconds"
    if failures := summary.get("failures"):
        reasons = [f"{it['reason']} ({', '.join(it['notes'])})" for it in failures]
        yield fact("failures", "Failed", "; ".join(reasons), False)
    yield fact("stages", "Stages", f"{len(stages) - len(failed)} of {len(stages)} held"
               if failed else whole, not failed)  # fmt: skip
    found = access(summary)
    yield fact("access", "Access", _access_in_short(found), None if found is None else not found)
    judged = policy(summary)
    yield fact("policy", "Policy", judged["short"], judged["fine"])
    if held := list(identities(summary)):
        granted, used = (sum(one[key] for one in held) for key in ("granted", "used"))
        said = f"{len(held)} identities; {granted} permissions granted, {used} of them used"
        yield fact("identities", "Identities", said)
    if made := components(summary):
        count = sum(len(one["resources"]) for one in made)
        parts = [one for one in made if one["name"] != NO_COMPONENT]
        yield fact("created", "Created", f"{count} resources in {len(parts)} components")
    if told := list(service(summary)):
        yield fact("predictions", "Predictions", told[0])
    proven = proof(summary)
    yield fact("proof", "Proof", proven["short"], proven["fine"])
    if cost := hours(summary):
        said = f"{cost['hours']} machine-hours a month of {cost['machine']}"
        yield fact("costs", "Costs", said)


def _access_in_short(found: Diff | None) -> str:
    if found is None:
        return "not compared"
    if not found:
        return "nobody gains or loses any"
    said = [
        f"{len({way.member for way in found.stronger})} become able to make themselves stronger"
        if found.stronger
        else "",
        f"{len({it.member for it in found.gained})} gain some" if found.gained else "",
        f"{len({it.member for it in found.lost})} lose some" if found.lost else "",
        f"{len(found.unread)} changes not read" if found.unread else "",
    ]
    return "; ".join(filter(None, said))


def _stages(summary: Summary) -> Iterator[dict[str, Any]]:
    """Each stage with its bar: percent of the whole time that it begins at, and that it takes."""
    told: Mapping[str, Any] = summary.get("told", {})
    rows: list[dict[str, Any]] = []
    for name, seconds in summary["stages"].items():
        one = told.get(name, {"begun": 0.0, "held": True, "note": ""})
        rows.append({"name": name, "seconds": seconds, **one, "end": one["begun"] + seconds})
    whole = max((row["end"] for row in rows), default=0) or 1
    for row in rows:
        left, width = (round(100 * row[key] / whole, 2) for key in ("begun", "seconds"))
        yield {**row, "left": left, "width": width}


def access(summary: Summary) -> Diff | None:
    """How access differs from that of the last run; None where nothing was compared."""
    told = summary.get("access")
    if told is None:
        return None
    gained, lost = ([_change(it) for it in told[key]] for key in ("gained", "lost"))
    stronger, weaker = ([Way(*it) for it in told[key]] for key in ("stronger", "weaker"))
    return Diff(*map(tuple, (gained, lost, stronger, weaker, told["unread"])))


def _change(told: Mapping[str, Any]) -> Change:
    return Change(
        told["member"],
        told["on"],
        told["condition"],
        tuple(told["permissions"]),
        tuple(told["roles"]),
    )


def _not_compared(summary: Summary) -> str:
    if summary.get("grants", {}).get("at") == summary.get("at"):
        return "Not compared: there is no earlier run in this place to compare with."
    return "Not compared: this run did not come as far as to say who may do what."


def policy(summary: Summary) -> dict[str, Any]:
    """What the pack said, once each, whether of the preview or of an update."""
    said = list(dict.fromkeys((level, text) for level, text in summary.get("violations", ())))
    waived = [it.groups() for _, text in said if (it := comment.WAIVED.search(text))]
    not_run = [text for _, text in said if comment.NOT_RUN.search(text)]
    rest = [(level, text) for level, text in said if not comment.no_finding(text)]
    forbidden = [text for level, text in rest if level == "mandatory"]
    advice = [text for level, text in rest if level != "mandatory"]
    judged = [name for name in summary["stages"] if name.startswith(("preview", "up"))]
    counts = (
        (len(forbidden), "forbidden"), (len(not_run), "could not run"),
        (len(advice), "advice"), (len(waived), "waivers in use"),
    )  # fmt: skip
    short = ", ".join(f"{many} {what}" for many, what in counts if many)
    silent = (
        "The policy pack judged the preview and the update, and objects to nothing."
        if judged
        else "Nothing was judged by the policy pack."
    )
    fine = not (forbidden or not_run) if judged else None
    return {
        "said": bool(rest or not_run), "forbidden": forbidden, "not_run": not_run,
        "advice": advice, "waivers": list(dict.fromkeys(waived)), "silent": silent,
        "short": short or ("no objection" if judged else "nothing was judged"), "fine": fine,
    }  # fmt: skip


def identities(summary: Summary) -> Iterator[dict[str, Any]]:
    """Each identity with its permissions, the steps that each is for, and whether it was used."""
    steps: dict[tuple[str, str], dict[str, list[str]]] = {}
    for identity, permission, on, step in summary.get("needs", ()):
        of = steps.setdefault((identity, permission), {}).setdefault(on, [])
        if step not in of:
            of.append(step)
    for identity, held in summary.get("identities", {}).items():
        granted, used = set(held["granted"]), set(held["used"])
        yield {
            "name": identity,
            "granted": len(granted),
            "used": len(granted & used),
            "rest": len(granted - used),
            "rows": [
                {
                    "permission": permission,
                    "steps": list(steps.get((identity, permission), {}).items()),
                    "used": permission in used,
                }
                for permission in sorted(granted | used)
            ],
        }


def components(summary: Summary) -> list[dict[str, Any]]:
    """The stack's components with their resources; what is in none of them comes last."""
    groups: dict[str, list[dict[str, str]]] = {}
    for resource in summary.get("created", ()):
        groups.setdefault(resource["component"], []).append(resource)
    return [
        {
            "name": name or NO_COMPONENT,
            "resources": sorted(groups[name], key=lambda it: (it["type"], it["name"])),
            "kinds": _kinds(groups[name]),
        }
        for name in sorted(groups, key=lambda name: (not name, name))
    ]


def _kinds(resources: Iterable[Mapping[str, str]]) -> str:
    """Such as `4 Table, 2 Topic`, each number beside its kind whatever the width of the page."""
    counted = Counter(it["type"].rpartition(":")[2] for it in resources)
    return ", ".join(f"{many}\N{NO-BREAK SPACE}{kind}" for kind, many in counted.most_common())


def service(summary: Summary) -> Iterator[str]:
    """What the service was asked for, and how well it answered."""
    if many := summary.get("predictions"):
        auc = f"{summary['roc_auc']:.3f}"
        yield f"{many:,} predictions on readings that no model has seen, ROC AUC {auc}"
    if "alarms" in (of := summary.get("telemetry", {})):
        yield (
            f"{of['readings']:,} readings by telemetry, {of['alarms']:,} alarms: precision "
            f"{of['precision']:.3f}, recall {of['recall']:.3f}; {of['dead_letters']} dead letters"
        )
    if of := summary.get("drift"):
        yield f"drift was told of {', '.join(of['anomalies'])}; {of['shifted']} was shifted"
    if many := summary.get("incidents"):
        yield f"{many} incidents opened, were told and closed"


def plots(summary: Summary) -> Iterator[Bars]:
    if of := summary.get("risks"):
        bins, above = len(of["sound"]), of["above"]
        yield Bars(
            "Predicted risk of readings that no model has seen, by what came of them",
            f"A risk above {of['percent']} % have {above['failing']} of {sum(of['failing'])} "
            f"readings before a failure, and {above['sound']} of {sum(of['sound'])} sound ones.",
            [f"{100 * it // bins}" for it in range(bins)],
            {"sound": of["sound"], "failing": of["failing"]},
            f"risk, %, from each number on to {100 // bins} more",
            "readings",
            scale="symlog",
        )
    if of := summary.get("drift", {}).get("distances"):
        calm, shifted = ([it[key] for it in of.values()] for key in ("calm", "shifted"))
        limit = max(it["threshold"] for it in of.values())
        said = ", ".join(f"{name} {it['calm']:.2f} and {it['shifted']:.2f}"
                         for name, it in of.items())  # fmt: skip
        yield Bars(
            "How far each sensor’s readings are from those of the window before",
            f"Distance in the calm window and in the one with a shift: {said}. Drift is told "
            f"above {limit:g}.",
            list(of),
            {"nothing shifted": calm, "a sensor shifted": shifted},
            "sensor",
            "distance",
            ("told above", limit),
        )


def proof(summary: Summary) -> dict[str, Any]:
    """What a proof said: this one, or the last one of the stack."""
    own = summary["stack"].endswith(OF_A_PROOF)
    told: Mapping[str, Any] = summary if own else summary.get("proof", {})
    found = [
        *(f"spare: {who} holds {it} ({step}), nothing used it"
          for who, it, step in told.get("spare") or ()),
        *(f"missing: {who} used {it} by {role}, no line of the table has it"
          for who, it, role in told.get("missing") or ()),
    ]  # fmt: skip
    tight = "every permission that is granted was used, and none that is not listed"
    ended = tight if told.get("passed") else "the roles were not shown to be tight"
    if own:
        text, short = f"In the stack’s whole life, {ended}.", ended if told["passed"] else "failed"
        return {"text": text, "short": short, "found": found, "fine": told["passed"],
                "link": "", "command": ""}  # fmt: skip
    text, short = "Not proven in this run", "not proven in this run"
    if told:
        word = "passed" if told["passed"] else "failed"
        text += f". The last proof, of {moment(told['at'])}, {word}: {ended}"
        short += f"; the last one {word}"
    command = "" if told else f"python -m rehearsal prove {summary['stack']}"
    return {"text": f"{text}.", "short": short, "found": found, "fine": None,
            "link": told.get("link", ""), "command": command}  # fmt: skip


def hours(summary: Summary) -> dict[str, Any]:
    """What the models' machines run, in hours a month; empty where the settings are not known."""
    if not (serving := summary.get("serving")):
        return {}
    usual = [serving["machine_type"], *serving["replicas"]]
    own = serving.get("own", {})
    rows, machines, fewest, highest = [], {}, 0, 0
    for model, traffic in serving["traffic"].items():
        machine, least, most = own.get(model, usual)
        machines[machine] = True
        fewest, highest = fewest + least, highest + most
        said = "" if machine == usual[0] else f" of {machine}"
        rows.append(
            {
                "model": model,
                "traffic": traffic,
                "replicas": _range(least, most) + said,
                "hours": _range(least * HOURS_A_MONTH, most * HOURS_A_MONTH),
            }
        )
    return {
        "a_month": HOURS_A_MONTH,
        "machine": " and ".join(machines),
        "region": serving["region"],
        "rows": rows,
        "replicas": _range(fewest, highest),
        "hours": _range(fewest * HOURS_A_MONTH, highest * HOURS_A_MONTH),
    }


def _range(least: int, most: int) -> str:
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def markdown(summary: Summary) -> Iterator[str]:
    """The same for a workflow's job summary, without the lists of every name."""
    yield f"## {summary['stack']}: {'passed' if summary['passed'] else 'failed'}\n"
    for failure in summary.get("failures", ()):
        yield f"**{_plain(failure['reason'])}** ({_plain(', '.join(failure['notes']))})\n"
        yield f"<pre>{escaping.escape(failure['error'][-MOST_OF_AN_ERROR:], quote=False)}</pre>\n"
    yield from _access(summary)
    for level, message in dict.fromkeys(map(tuple, summary.get("violations", ()))):
        yield f"- {level}: {_plain(message)}"
    for identity, permission, why in summary.get("spare", ()):
        yield f"- spare: {identity} holds `{permission}` ({_plain(why)}), nothing used it"
    for identity, permission, role in summary.get("missing", ()):
        yield f"- missing: {identity} used `{permission}` by `{role}`, no line has it"
    yield from (f"- {_plain(text)}" for text in service(summary))
    yield f"- proof: {_plain(proof(summary)['short'])}"
    yield "\n| stage | seconds |\n|---|---:|"
    yield from (f"| {name} | {seconds:.1f} |" for name, seconds in summary["stages"].items())
    if held := list(identities(summary)):
        yield "\n| identity | permissions | of them used |\n|---|---:|---:|"
        yield from (f"| {one['name']} | {one['granted']} | {one['used']} |" for one in held)
    if made := components(summary):
        yield "\n| component | resources | of them |\n|---|---:|---|"
        for one in made:
            yield f"| {one['name']} | {len(one['resources'])} | {one['kinds']} |"
    if cost := hours(summary):
        yield f"\n| model | replicas of {cost['machine']} | machine-hours a month |"
        yield "|---|---:|---:|"
        yield from (f"| {it['model']} | {it['replicas']} | {it['hours']} |" for it in cost["rows"])


def _access(summary: Summary) -> Iterator[str]:
    """As a comment on a pull request says it; nothing of what a rehearsal does not compare."""
    if (found := access(summary)) is not None:
        yield f"Since the run of {moment(summary['access']['since'])}:\n"
        yield from comment.access(found)


def _plain(text: str) -> str:
    return escaping.escape(" ".join(text.split()), quote=False)
