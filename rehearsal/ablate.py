"""The proof that each grant is needed: taken out alone, a step fails, and says what is missing.

A part is one permission in one grant of a custom role, or the whole grant of one of Google's roles;
parts are those of every grant to an identity of the table, the platform's own role included. The
simulated cloud refuses what exactly one part would have passed (simulator/iam/trials.py), so that
each refusal is that of a life in which this part alone is missing. What was refused stays refused:
a client that asks again gets no further. Only when the step has failed, with the refusal's own
words in the error, is the part given back, and the step played on from where it stopped. Steps that
do not follow each other fail in one run of the engine and are told apart by their refusals. So a
single life tries everything, in as many runs as its longest chain of calls has permissions.

What is refused and yet lets a step pass stays taken out; a part without which no step has failed
by the end of the life is spare. One that fails at another call than its lines of the table name is
lent until that step is through, and taken out again. Where nothing is said, because one of Google's
agents or a delivery in the background was refused, the step is played again with one of what was
refused, and blames it if it fails again.

That a step fails is, where the engine is at work, that a plugin answers an operation with an error:
by Pulumi's protocol the engine then stops. Most are given back before the engine hears of it, so
that one run tries many; the stage's note counts the runs that failed themselves.

What this does not prove: that the client of somebody else fails as ours do; that a permission is
needed at every line of the table that has it, for it is given back after the first; which of two
refusals in one run did the harm, where a service words both alike and one of them did none: the
later one is taken for it. Nor does it see what is used only once something else was refused; that
nothing is used in vain is what `prove` shows.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, NamedTuple

from access import sentences as said
from access.answer import explained
from access.explain import BY_TEXT, lines_for
from components import permissions as table
from components import telemetry as stack
from components.routing import ATTEMPTS, RISKS, subscription
from components.settings import Settings
from rehearsal import environment as environments
from rehearsal import federating, prove, reviewing, telemetry, trouble, watching, workloads
from rehearsal.engine import Outcome, diagnostic, stack_program
from rehearsal.environment import ONCALL, Environment
from rehearsal.relay import Relay
from rehearsal.report import Report, Stage, StageFailed
from rehearsal.routing import BACKOFF, MALFORMED, PUBSUB, count, pulled, reading
from rehearsal.run import Options, Rehearsal, opened
from rehearsal.sandbox import GoogleError
from rehearsal.watching import HOUR, INBOX, MINUTE
from rehearsal.workloads import predictor

AT_ONCE: Final = 64
"""Resources at a time: the more fail in one run, the fewer runs."""

CONVENIENCE: Final = ("projectOwner:", "projectEditor:", "projectViewer:")
"""Whom Google itself lets into what is made."""

SILENT: Final = "silent"
UNSAID: Final = "unsaid"
FEW: Final = 200
"""Readings among which there is one of a failure."""

SOURCE: Final = "CloudPubSubDeadLetterSourceSubscription"
TAKERS: Final = 3
"""Subscriptions to the readings: each loses one of those that are malformed."""

GOOGLES: Final = frozenset({"roles/pubsub.serviceAgent"})
"""Roles that Google gives its agents by itself, for what it does not tell: nothing that is
simulated is checked by them, so that nothing is said of whether they are needed."""

TOLD: Final = "told"
RIGHT: Final = "right"
WRONG: Final = "wrong"


class Part(NamedTuple):
    """A permission in a grant; "" for all of a role that Google made."""

    resource: str
    role: str
    member: str
    permission: str


@dataclass(frozen=True)
class Refusal:
    """What a part's absence did: the check's call by its discovery id, and what was said of it.

    `call` is empty where an operation or an agent checked by itself.
    """

    part: Part
    permission: str
    call: str
    message: str
    stage: str = ""
    text: str = ""
    """The error of the step that failed, as its client printed it; "" where nothing was said."""


Attempt = Callable[[bool], Outcome]
"""Play a step; True when it goes on from where it has failed before."""


@dataclass
class Lines:
    """The lines of the table by grant, in one environment."""

    environment: Environment
    _by_grant: dict[tuple[str, str], list[table.Need]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = self.environment.settings
        members = {identity: member for member, identity in holders(self.environment).items()}
        for need in table.needs(settings.capabilities):
            for project in settings.projects_of(need):
                role = settings.role_name(need.role, project)
                self._by_grant.setdefault((role, members[need.identity]), []).append(need)

    def of(self, part: Part) -> list[table.Need]:
        lines = self._by_grant.get((part.role, part.member), [])
        return [need for need in lines if need.permission == part.permission]

    def fit(self, refusal: Refusal) -> list[table.Need]:
        """Those that name the call that was refused; what Google does by itself names itself."""
        return [need for need in self.of(refusal.part) if names(need.call, refusal.call)]


def names(call: str, method: str) -> bool:
    """Whether a line's call, such as `iam projects.roles.get`, is that of a discovery id.

    A batch of one is sent as the single call. Of what a service does for a call (`pubsub AI
    inference: endpoints.get`) only the service is known.
    """
    service, _, rest = call.partition(" ")
    if not method or ":" in rest:
        return not method or method.startswith(f"{service}.")
    tail = re.sub(r"\.batch([A-Z])", lambda it: f".{it[1].lower()}", rest.partition(" (")[0])
    return method.startswith(f"{service}.") and method.endswith(f".{tail}")


def holders(environment: Environment) -> dict[str, str]:
    """Member → identity, as grants name them: a group where a group was named, a kind of jobs."""
    settings = environment.settings
    named = {table.PLATFORM: settings.platform_member, table.REVIEWER: settings.preview_member}
    named[table.CALLER] = next(iter(settings.callers), None)
    named |= {it: settings.federated(it, environments.NUMBER) for it in environment.jobs}
    return {named.get(who) or member: who for who, member in environment.members.items()}


class Trial:
    """Parts taken out of a cloud, and what became of each."""

    def __init__(self, run: Rehearsal) -> None:
        self.refusals: dict[Part, Refusal] = {}
        self.astray: dict[Part, Refusal] = {}
        """What failed at a call that no line names; among `refusals` if it also fails at one."""
        self.granted: set[Part] = set()
        self.lines, self.members = Lines(run.environment), holders(run.environment)
        self._run, self._lent, self._stage = run, set[Part](), ""
        self._aside = set[Part]()
        """Lent for the next run, so that of several silent refusals one can be told."""
        self._engine = (run.engine, run.sandbox)
        self._read = int(run.sandbox.control("GET", "/audit")["next"])
        self._return()

    def play(self, name: str, attempt: Attempt) -> None:
        """Play a step until it passes. Raises StageFailed when it fails for want of nothing."""
        self._stage, runs, found, adopted = name, 0, len(self.refusals), set[str]()
        with self._run.report.stage(name) as stage:
            while not (outcome := attempt(runs > 0)).ok or self._harmless():
                runs += not outcome.ok
                if outcome.ok or self._put_down(told(outcome)):
                    continue
                more = set(trouble.adopt_existing(*self._engine, outcome)) - adopted
                if not more:
                    raise StageFailed("failed, and nothing was refused", "\n".join(told(outcome)))
                adopted |= more
            stage.note = f"{len(self.refusals) - found} needed; {runs} runs failed"
            self._lent.clear()
            self._return()

    def begin(self) -> None:
        """What was refused until now is not the doing of the operation that begins."""
        self._refused()

    def again(self, text: str) -> bool:
        """Whether an operation on a resource failed because of a refusal; what it lacked is given
        back then."""
        return self._put_down([text])

    def _put_down(self, texts: Sequence[str]) -> bool:
        """Give back what made a step fail, or so much that one part alone can be to blame."""
        refused = self._refused()
        harmful = blamed(refused, texts) or (refused if len(refused) == 1 else [])
        for refusal in harmful:
            self._note(refusal)
        self._aside = set() if harmful else self._aside | {it.part for it in refused[1:]}
        if refused:
            self._return()
            progress = f"  {self._stage}: {len(self.refusals)} of {len(self.granted)}"
            self._run.report.console.print(progress, end="\r", highlight=False)
        return bool(refused)

    def _harmless(self) -> bool:
        """Whether a step that passed has to be played again, for it had not all taken out.

        What alone was out did no harm in it, and is lent until the next.
        """
        refused = self._refused()
        if not self._aside:
            return False
        self._lent |= {it.part for it in refused}
        self._aside = set()
        self._return()
        return True

    def spare(self) -> list[Part]:
        return sorted(
            part for part in self.granted - self.refusals.keys() if part.role not in GOOGLES
        )

    def _note(self, refusal: Refusal) -> None:
        part, noted = refusal.part, replace(refusal, stage=self._stage)
        if part.permission and self.lines.of(part) and not self.lines.fit(refusal):
            self.astray.setdefault(part, noted)
            self._lent.add(part)
        else:
            self.refusals[part] = noted
        self._run.report.summary.setdefault("refused", []).append(
            [self._stage, self.members[part.member], *part, refusal.call, refusal.text]
        )

    def _return(self) -> None:
        """Tell the cloud what is given back, and see what there is to be taken out."""
        body = {
            "members": list(self.members),
            "beside": sorted(prove.CREATORS),
            "returned": [list(part) for part in (*self.refusals, *self._lent, *self._aside)],
        }
        listed = self._run.sandbox.control("POST", "/trial", body)["grants"]
        parts = (Part(*grant) for grant in listed)
        self.granted |= {part for part in parts if part.role not in prove.CREATORS}

    def _refused(self) -> list[Refusal]:
        """What was refused since it was last asked, each part once, in the order of its last."""
        answer = self._run.sandbox.control("GET", f"/audit?since={self._read}")
        self._read = answer["next"]
        found: dict[Part, Refusal] = {}
        for entry in answer["entries"]:
            if "taken" in entry:
                part = Part(*entry["taken"])
                by_itself = entry["status"] is None
                call = "" if by_itself else entry["method"] or ""
                found.pop(part, None)
                found[part] = Refusal(part, entry["permission"], call, entry.get("message", ""))
        return list(found.values())


def told(outcome: Outcome) -> list[str]:
    """What the engine's errors say, each under the heading that the command line gives it."""
    of_resources = [
        diagnostic(urn, error)
        for urn, failed in outcome.failed.items()
        for error in failed.get("errors", ())
    ]
    others = [error for error in outcome.errors if not any(error in text for text in of_resources)]
    return [*of_resources, *others]


def blamed(refused: Sequence[Refusal], texts: Sequence[str]) -> list[Refusal]:
    """Which refusals did the harm, each with the error that has its words.

    A client stops at what harms it, so of several in one error it is the last.
    """
    left, found = list(refused), list[Refusal]()
    for text in texts:
        named = [it for it in left if it.message and it.message in text]
        if named := named or [it for it in left if it.permission in text]:
            left.remove(named[-1])
            found.append(replace(named[-1], text=text))
    return found


def ablate(stack_name: str, report: Report, settings: Mapping[str, Any] = prove.NO_OTHERS) -> bool:
    """Take every part out once; True when each is needed where the table says, and explained.

    `settings` go before those of the stack's file.
    """
    started = time.monotonic()
    # The gate would wait for what is missing in vain, and Google's own denial never show.
    options = Options(stack_name, settings={**settings, "readinessSeconds": 0})
    with opened(options, report) as run, run.explained():
        with report.stage("an earlier life") as stage:
            prove.earlier_life(run, stage)
        strangers = run.sandbox.control("GET", "/dump")["policies"]
        trial = Trial(run)
        relay = Relay(trial)
        run.engine.reach_by(relay)
        run.sandbox.until_the_end.callback(relay.close)
        _live(run, trial, strangers)
        report.summary["passed"] = _tell(run, trial, time.monotonic() - started)
    return bool(report.summary["passed"])


def _live(run: Rehearsal, trial: Trial, before: Mapping[str, list[str]]) -> None:
    trial.play("up", lambda again: _up(run, again))
    _demand_known(run, before)
    if run.registers:
        trial.play("store a model", lambda _: _asked(lambda: workloads.store(run, Stage())))
    trial.play("predict", lambda _: _asked(lambda: predictor(run)(telemetry.unseen(1)[0])))
    if run.shared:
        ask = partial(workloads.answer_callers, run, Stage())
        trial.play("answer callers", lambda _: _asked(ask))
    if run.routes:
        trial.play("route telemetry", lambda _: _asked(lambda: _route(run)))
    if run.federates:
        trial.play("come in from GitHub", lambda _: _asked(lambda: _come_in(run)))
    if run.environment.settings.alerts.topic:
        _subscribe(run)
        trial.play("tell of an incident", lambda _: _asked(lambda: _incident(run)))
    if run.environment.reviewer:
        _review(run, trial)
    prove.change_by_hand(run)
    trial.play("put right", lambda _: _up(run, refresh=True))
    models = run.report.folder / "models"
    run.engine.configure(environments.renewed(run.environment, run.sandbox, models))
    trial.play("a new version", lambda _: _up(run, refresh=True))
    if run.protected:
        run.engine.configure(prove.with_fewer_alerts(run))
        trial.play("fewer alerts", lambda again: _up(run, again))
    else:
        trial.play("destroy", lambda _: _destroy(run))


def _up(run: Rehearsal, refresh: bool) -> Outcome:
    """An `up` that goes on with what does not follow from what failed.

    Of what was made and could then not be read, only a refresh finds out the names.
    """
    return run.engine.up(
        judged=False, continue_on_error=True, parallel=AT_ONCE, refresh=refresh or None
    )


def _destroy(run: Rehearsal) -> Outcome:
    return run.engine.destroy(continue_on_error=True, parallel=AT_ONCE)


def _asked(ask: Callable[[], Any]) -> Outcome:
    """What becomes of a step without the engine."""
    try:
        ask()
    except GoogleError as error:
        return Outcome(ok=False, errors=[str(error)])
    except StageFailed as error:
        return Outcome(ok=False, errors=[error.raw or str(error)])
    return Outcome()


def _come_in(run: Rehearsal) -> None:
    """A job on a pull request becomes the preview account. Raises GoogleError."""
    token = federating.exchanged(run.sandbox, run.environment.jobs[table.PULL_REQUESTS])
    federating.become(run.sandbox, token, run.environment.settings.email(table.PREVIEW))


def _route(run: Rehearsal) -> None:
    """A reading of a failure is stored, judged and given out, and one that is none is put aside.

    Raises GoogleError, StageFailed.
    """
    settings = run.environment.settings
    values, labels = telemetry.unseen(FEW)
    good = reading(settings.sensors, 0, values[labels.index(1)])
    device = run.sandbox.google(settings.email(table.DEVICE))
    maintenance = run.sandbox.google(settings.email(table.MAINTENANCE))
    before = [count(run, of) for of in (stack.READINGS, stack.PREDICTIONS)]
    for body in (good, *({**good, **fault} for fault, _, _ in MALFORMED)):
        data = base64.b64encode(json.dumps(body).encode()).decode()
        message = {"data": data, "orderingKey": str(body["device"] or "broken")}
        topic = stack.topic_id(settings, stack.TOPIC)
        device.call("POST", f"{PUBSUB}/{topic}:publish", {"messages": [message]})
    risky = []
    for _ in range(ATTEMPTS):
        risky += list(pulled(maintenance, run, subscription(settings, RISKS)))
        run.sandbox.wait(BACKOFF)
    lost = {
        it["attributes"][SOURCE]
        for it in pulled(maintenance, run, settings.named(stack.DEAD_LETTERS))
    }
    run.sandbox.renew()
    after = [count(run, of) for of in (stack.READINGS, stack.PREDICTIONS)]
    if not (after[0] > before[0] and after[1] > before[1] and risky and len(lost) == TAKERS):
        raise StageFailed("a reading was not stored, judged, given out or put aside")


def _subscribe(run: Rehearsal) -> None:
    """Somebody wants to be told of incidents."""
    settings = run.environment.settings
    inbox = f"projects/{settings.project}/subscriptions/{INBOX}"
    body = {"topic": f"projects/{settings.project}/topics/{settings.alerts.topic}"}
    run.sandbox.google(ONCALL).call("PUT", f"{PUBSUB}/{inbox}", body)


def _incident(run: Rehearsal) -> None:
    """A denial is told to whoever subscribed. Raises StageFailed."""
    settings = run.environment.settings
    run.sandbox.wait(2 * HOUR)  # what was before is over
    list(pulled(run.sandbox.google(ONCALL), run, INBOX))
    watching.be_refused(run)
    run.sandbox.wait(10 * MINUTE)
    told = list(pulled(run.sandbox.google(ONCALL), run, INBOX))
    run.sandbox.renew()
    if not told:
        raise StageFailed(f"no incident on {settings.alerts.topic}")


def _review(run: Rehearsal, trial: Trial) -> None:
    """A preview with refresh by who may do nothing else; then the platform runs the stack again."""
    reviewer = run.environment.reviewer
    assert reviewer is not None
    run.engine.run_as(reviewer, run.environment.settings.email(table.PREVIEW))
    run.engine.use(reviewing.reading_as_oneself)
    trial.play("review", lambda _: _preview(run))
    run.engine.use(stack_program)
    run.engine.run_as_usual()


def _preview(run: Rehearsal) -> Outcome:
    asked: dict[str, Any] = {"refresh": True, "run_program": True, "parallel": AT_ONCE}
    return run.engine.preview(judged=False, **asked)


def _demand_known(run: Rehearsal, before: Mapping[str, list[str]]) -> None:
    """Every grant that the stack has made has to be one of those that are taken out.

    Raises StageFailed.
    """
    known = holders(run.environment).keys()
    others = [
        f"{line} on {resource}"
        for resource, lines in run.sandbox.control("GET", "/dump")["policies"].items()
        for line in lines
        for role, member, *_ in [line.split()]
        if line not in before.get(resource, ())
        and member not in known
        and not member.startswith(CONVENIENCE)
        and role not in prove.CREATORS
    ]
    if others:
        raise StageFailed("grants to nobody that the table knows", "\n".join(others))


def verdict(refusal: Refusal, lines: Sequence[table.Need], settings: Settings) -> str:
    """How `access` reads the error of a refusal, alone.

    RIGHT is with identity, permission and line; TOLD the same, but who ran it had to be told: the
    text names nobody and another identity does the same, or somebody whom only a group has; UNSAID
    where the service names no permission; SILENT where there was no error; else WRONG.
    """
    if not refusal.text:
        return SILENT
    identity, found = lines[0].identity, explained(refusal.text, settings)
    if any(it.who.identity == identity and it.need in lines for it in found):
        return RIGHT
    if any(
        (it.who.by != BY_TEXT or not it.who.identity)
        and set(lines_for(it.denial, identity, settings)[:1]) & set(lines)
        for it in found
    ):
        return TOLD
    named = refusal.permission.lower() in refusal.text.lower()
    return WRONG if named or any(it.denial.kind != said.UNSAID for it in found) else UNSAID


def _tell(run: Rehearsal, trial: Trial, seconds: float) -> bool:
    """Show and note what came out; True when nothing is to be put right."""
    console, settings = run.report.console, run.environment.settings
    named = {part: trial.members[part.member] for part in trial.granted}
    problems = [
        f"spare: {named[part]} holds {part.permission or part.role} on {part.resource} "
        f"({part.role}), and nothing fails without it"
        if part not in trial.astray
        else f"astray: without {part.permission} {named[part]} fails at {trial.astray[part].call}, "
        f"and no line of the table names that call"
        for part in trial.spare()
    ]
    verdicts = dict[Part, str]()
    for part, refusal in trial.refusals.items():
        lines = trial.lines.fit(refusal)
        if part.permission and not lines:
            problems.append(f"unlisted: {named[part]} needs {part.permission}, no line has it")
        elif part.permission:
            verdicts[part] = verdict(refusal, lines, settings)
            if verdicts[part] == WRONG:
                problems.append(f"not explained: {part.permission}: {refusal.text}")
    counted = Counter(verdicts.values())
    run.report.summary["ablation"] = {
        "parts": len(trial.granted),
        "needed": len(trial.refusals),
        "problems": problems,
        "explained": counted,
        "seconds": round(seconds, 1),
        "refusals": [
            {
                **refusal.part._asdict(),
                "identity": named[part],
                "stage": refusal.stage,
                "call": refusal.call,
                "steps": [need.step for need in trial.lines.fit(refusal)],
                "explained": verdicts.get(part, ""),
                "text": refusal.text,
            }
            for part, refusal in trial.refusals.items()
        ],
    }
    for line in problems:
        console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"{len(trial.granted)} parts of grants taken out, {len(trial.refusals)} needed, "
        f"{seconds:.0f} s\n"
        f"not judged, for Google grants it by itself: {', '.join(sorted(GOOGLES))}\n"
        f"explained by access: {counted[RIGHT]} right, {counted[TOLD]} when told who ran it, "
        f"{counted[WRONG]} wrong; {counted[UNSAID]} where the service names no permission, "
        f"{counted[SILENT]} where nothing is said",
        soft_wrap=True,
        highlight=False,
    )
    return not problems
