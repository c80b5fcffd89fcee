"""What a Google Cloud denial means for this stack: who lacks what, and which line it is about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Final

from access import sentences as said
from access.advice import ADVICE, Advice, Named
from access.reading import Piece, Status, read, views
from components import permissions as table
from components.settings import Settings
from policies.gcp_access import roles

NEAR: Final = 3
"""Characters between gcloud's frame and the sentence that it frames."""

CONTEXT: Final = 1_500
"""Characters before a sentence in which the call is looked for that was refused."""


@dataclass(frozen=True)
class Call:
    """What was being done: the engine's resource, an HTTP request, gcloud's command.

    `kind` is a Pulumi type without its file part, such as `gcp:bigquery:Dataset`.
    """

    kind: str = ""
    name: str = ""
    words: str = ""
    """The line up to the sentence, such as `Error creating Dataset: googleapi: Error 403:`."""
    verb: str = ""
    path: str = ""
    command: str = ""


@dataclass(frozen=True)
class Denial:
    """One denial found in a text. `principal` is empty where the text does not name it.

    `kind` is one of access.sentences.KINDS. `resource` is written as the text has it.
    """

    kind: str
    text: str
    permission: str = ""
    resource: str = ""
    principal: str = ""
    about: str = ""
    service: str = ""
    call: Call = field(default_factory=Call)
    details: Mapping[str, str] = field(default_factory=dict)
    likely: tuple[str, ...] = ()
    """Permissions that the call suggests, where the text names none."""


def find(text: str) -> Denial | None:
    """The first denial in `text` that Google's wording gives away."""
    return next(iter(find_all(text)), None)


def find_all(text: str) -> list[Denial]:
    """Every denial in `text`, each once, in order."""
    return max((_denials(read(view)) for view in views(text)), key=_told)


def _told(denials: list[Denial]) -> float:
    """How much is told: of the ways to read a text, the one that is understood best is right."""
    told = {
        (denial.kind, denial.permission): 3.0
        - 2.5 * (bool(denial.permission) and not roles.exists(denial.permission))
        for denial in denials
        if denial.kind != said.UNSAID
    }
    named = len({(it.kind, it.permission) for it in denials if it.resource}) / 100
    return named + (sum(told.values()) or len({denial.text for denial in denials}) / 10)


def _denials(pieces: list[Piece]) -> list[Denial]:
    before, found = "", list[Denial]()
    for piece in pieces:
        if isinstance(piece, Status):
            if found and not piece.message:  # details, after the sentence that they are of
                detailed = _informed(found[-1], piece.reason, piece.metadata)
                found[-1] = _violated(detailed, piece)
            else:
                found += _of_status(piece, before)
            before += piece.message
        else:
            found += _of_text(piece, before)
            before += piece
        before = before[-CONTEXT:]
    return _merged(found or _loosely(pieces))


def _loosely(pieces: Iterable[Piece]) -> list[Denial]:
    """Denials in sentences that the table does not know.

    A permission that Google has, in a sentence that refuses, is what is missing; of anything else
    that Google's libraries call a refusal, only that it is one is known.
    """
    texts = [piece.message if isinstance(piece, Status) else piece for piece in pieces]
    if not any(frame.search(text) for text in texts for frame in said.FALLBACK):
        return []
    named, framed = list[Denial](), list[Denial]()
    for text in texts:
        for sentence in re.split(r"(?<=[.!;])\s+|\n", text):
            for name in re.findall(r"(?<![\w./-])[a-z]\w+(?:\.\w+){2,}", sentence):
                if roles.exists(spelled(name)) and said.NAMED.search(sentence.replace(name, "")):
                    named.append(_named(spelled(name), sentence))
        for match in (frame.search(text) for frame in said.FALLBACK):
            if match and not framed:
                quote = " ".join((match["said"] or match[0]).split()).strip("\"', ")
                call = _call(text[: match.start()])
                framed = [_inferred(Denial(said.UNSAID, quote or match[0], call=call))]
    return named or framed


def _named(permission: str, sentence: str) -> Denial:
    mail = re.search(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", sentence)
    on = re.search(r"(?://[\w.-]+/)?\b(?:projects|organizations|folders)/[^\s\"'`,)]+", sentence)
    return Denial(
        said.PERMISSION,
        " ".join(sentence.split()),
        permission,
        on[0].rstrip(".") if on else "",
        mail[0] if mail else "",
    )


def _merged(denials: Iterable[Denial]) -> list[Denial]:
    """Each denial once: errors are repeated by whatever passes them on, often with less detail."""
    once: list[Denial] = []
    for denial in denials:
        for index, other in enumerate(once):
            if _same(denial, other):
                once[index] = _filled(other, denial)
                break
        else:
            once.append(denial)
    return once


def _same(one: Denial, other: Denial) -> bool:
    return (
        (one.kind, one.permission) == (other.kind, other.permission)
        and (one.about == other.about or not _GENERAL.isdisjoint((one.about, other.about)))
        and _agree(one.principal, other.principal)
        and _agree(one.resource, other.resource)
        and (one.kind != said.UNSAID or one.service == other.service)
    )


_GENERAL: Final = frozenset({"", "constraint"})


def _agree(one: str, other: str) -> bool:
    """Whether two names can be of the same: one is missing, or is the other with more before it."""
    return not one or not other or one.endswith(other) or other.endswith(one)


def _filled(denial: Denial, by: Denial) -> Denial:
    return replace(
        denial,
        text=by.text if denial.service == "vertexops" else denial.text,  # Google's own words
        resource=denial.resource or by.resource,
        principal=denial.principal or by.principal,
        about=by.about if denial.about in _GENERAL else denial.about,
        details={**by.details, **denial.details},
        likely=denial.likely or by.likely,
        call=denial.call if denial.call.kind or denial.call.path else by.call,
    )


def _of_text(text: str, before: str) -> list[Denial]:
    found = list(_sentences(text, before))
    infos = list(_infos(text))
    denials: list[Denial] = []
    for index, (start, end, denial) in enumerate(found):
        after = found[index + 1][0] if index + 1 < len(found) else len(text)
        if denial.service == "gcloud" and index + 1 < len(found) and after - end <= NEAR:
            frame = denial
            found[index + 1] = (*found[index + 1][:2], _framed(found[index + 1][2], frame))
            continue
        for info in [info for info in infos if start <= info[0] < after]:
            infos.remove(info)
            denial = _informed(denial, info[1], info[2])
        denials.append(denial)
    for position, reason, metadata in infos:  # without a sentence before them
        if reason in said.REASONS:
            call = _call(before + text[:position])
            denials.append(_informed(Denial(said.UNSAID, reason, call=call), reason, metadata))
    return denials


def _framed(denial: Denial, frame: Denial) -> Denial:
    return replace(
        denial,
        resource=denial.resource or frame.resource,
        principal=denial.principal or frame.principal,
        call=denial.call if denial.call.command else frame.call,
    )


def _sentences(text: str, before: str) -> Iterator[tuple[int, int, Denial]]:
    """Sentences in `text`, none within another: start, end, and what each means."""
    matches = [
        (match.start(), -match.end(), order, sentence, match)
        for order, sentence in enumerate(said.SENTENCES)
        for match in sentence.regex.finditer(text)
    ]
    end = 0
    for start, stop, _, sentence, match in sorted(matches, key=lambda found: found[:3]):
        if start < end:
            continue
        end = -stop
        denial = _denial(sentence, match, _call(before + text[:start]))
        if who := _AUTHENTICATED.match(text, end):
            denial = replace(denial, principal=denial.principal or who[1])
        yield start, end, denial
        for permission in re.findall(r"[a-z]\w*(?:\.\w+)+", denial.details.get("more", "")):
            yield start, end, replace(denial, permission=spelled(permission))


_AUTHENTICATED: Final = re.compile(
    r"[\s.]*This\s+command\s+is\s+authenticated\s+as\s+(\S+@\S+\w)\s+which\s+is\s+the"
)


def _denial(sentence: said.Sentence, match: re.Match[str], call: Call) -> Denial:
    groups = {name: value for name, value in match.groupdict().items() if value}
    on = next((groups.pop(name) for name in ("on3", "on2", "on") if name in groups), "")
    who = groups.pop("who", "") or groups.pop("who2", "")
    if groups.pop("anonymous", ""):
        who = ANONYMOUS
    permission = groups.pop("permission", "") or sentence.permission.format(**groups)
    about = sentence.about
    if sentence.kind == said.SERVICE or about in ("deleted project",):
        on = f"projects/{on}"
    if about == "rate" and groups.get("limit") and not re.search(_RATE, str(groups)):
        about = "allocation"
    if permission and not on and sentence.kind == said.PERMISSION:
        on = _asked_on(call)
    denial = Denial(
        sentence.kind,
        " ".join(match[0].split()),
        spelled(permission),
        on,
        who,
        about,
        sentence.service,
        call,
        groups,
    )
    return _inferred(denial) if sentence.kind == said.UNSAID else denial


ANONYMOUS: Final = "anonymous caller"
_RATE: Final = r"(?i)per[ _]?(?:minute|day|second|hour|100[ _]?seconds)"

# ErrorInfo where it is no JSON: gcloud prints YAML, Python's clients the text form of protocol
# buffers, a Python dictionary its quotes. Keys come before or after the reason.
_REASON: Final = re.compile(r"\breason[\"']?\s*[:=]\s*[\"']?([A-Z][A-Z_]{6,})\b")
_VALUE: Final = r"[\"']?\s*[:=]\s*[\"']?([^\s\"',}\]]+)"
_KEYS: Final = ("permission", "resource", "consumer", "service", "quota_metric", "quota_limit")
_AROUND: Final = 700


def _infos(text: str) -> Iterator[tuple[int, str, dict[str, str]]]:
    """Position, reason and metadata of each ErrorInfo in a text."""
    found = list(_REASON.finditer(text))
    for index, match in enumerate(found):
        first = max(match.start() - _AROUND, found[index - 1].end() if index else 0)
        last = min(
            match.end() + _AROUND, found[index + 1].start() if index + 1 < len(found) else len(text)
        )
        around = text[first:last]
        metadata = {}
        for key in _KEYS:
            pairs = re.search(rf"key:\s*\"{key}\"\s*value:\s*\"([^\"]+)\"", around)
            if pair := pairs or re.search(rf"[\"'\s]{key}{_VALUE}", around):
                metadata[key] = pair[1]
        yield match.start(), match[1], metadata


def _of_status(status: Status, before: str) -> list[Denial]:
    """What a status tells; its data goes before its message."""
    found = _of_text(status.message, before)
    quote = " ".join(status.message.split()) or status.reason
    call = _call(before)
    if status.checks and (not found or found[0].kind in (said.PERMISSION, said.UNSAID)):
        first = found[0] if found else Denial(said.PERMISSION, quote, call=call)
        found = [
            replace(
                first,
                kind=said.PERMISSION,
                permission=spelled(permission),
                resource=on or first.resource,
                text=quote,
                likely=(),
            )
            for permission, on in status.checks
        ]
    elif status.reason in said.REASONS and (
        status.reason != "IAM_PERMISSION_DENIED" or found or "permission" in status.metadata
    ):
        first = found[0] if found else Denial(said.UNSAID, quote, call=call)
        found = [_informed(first, status.reason, status.metadata), *found[1:]]
    elif status.denied and not found and quote:
        found = [Denial(said.UNSAID, quote, call=call)]
    found = [_violated(denial, status) for denial in found]
    if not found:
        found = [
            _violated(Denial(said.POLICY, quote, about="constraint", call=call), status)
            for kind, _, _ in status.violations
            if kind.startswith("constraints/")
        ][:1]
    return [
        _inferred(
            replace(
                denial,
                principal=denial.principal or status.principal,
                resource=denial.resource or status.resource,
                call=replace(denial.call, command=denial.call.command or status.method),
            )
        )
        for denial in found
    ]


def _informed(denial: Denial, reason: str, metadata: Mapping[str, str]) -> Denial:
    """`denial` with what an ErrorInfo says of it."""
    if reason not in said.REASONS:
        return denial
    kind, permission, about = said.REASONS[reason]
    # The same reason stands for a project that is not there, or not named; the sentence tells.
    if denial.kind == said.PROJECT or (
        denial.kind != said.UNSAID and reason == "USER_PROJECT_DENIED"
    ):
        kind, about = denial.kind, denial.about
    if kind == said.UNSAID:
        kind, about = denial.kind, denial.about
    if kind == denial.kind:
        about = denial.about or about
    permission = metadata.get("permission") or denial.permission or permission
    if kind != said.PERMISSION and kind != said.ROLE:
        permission = ""
    on = metadata.get("resource") or denial.resource
    if kind in (said.SERVICE, said.PROJECT, said.BILLING) or about == "quota project":
        on = metadata.get("consumer") or on
    if kind == said.QUOTA:
        on = metadata.get("quota_metric") or on
    return replace(
        denial,
        kind=kind,
        permission=spelled(permission),
        resource=on,
        about=about,
        details={**denial.details, **metadata, "reason": reason},
        likely=() if kind != said.UNSAID else denial.likely,
    )


def _violated(denial: Denial, status: Status) -> Denial:
    details = dict(denial.details)
    resource = denial.resource
    for kind, subject, description in status.violations:
        if kind.startswith("constraints/"):
            resource = resource or kind
            details |= {"constraint": kind, "where": subject.removeprefix("orgpolicy:")}
        elif kind == "VPC_SERVICE_CONTROLS":
            details["id"] = description
        elif denial.kind == said.QUOTA:
            details |= {"subject": subject, "description": description}
        elif description:
            details["description"] = description
    if denial.kind == said.PERIMETER and "uid" in details:
        details.setdefault("id", details["uid"])
    return replace(denial, resource=resource, details=details)


# What was asked for. A diagnostic's heading has the type with or without its file part.
_HEADING: Final = re.compile(
    r"^[ \t]*(?P<kind>[a-z][\w-]*:[\w]+(?:/\w+)?:\w+)[ \t]+\((?P<name>[^()\n]+)\):?", re.M
)
_URN: Final = re.compile(
    r"urn:pulumi:[^:\s]+::[^:\s]+::(?:[^\s$:]+(?::[^\s$:]+)*\$)*"
    r"(?P<kind>[\w-]+:[\w/]+:\w+)::(?P<name>[^\s\"']+)"
)
_REQUEST: Final = re.compile(
    r"\b(?:(?P<verb>GET|POST|PUT|PATCH|DELETE)|requesting)\s+https://[\w.-]+(?P<path>/[^\s\"'?]*)"
)
_COMMAND: Final = re.compile(r"\(gcloud\.(?P<command>[\w.-]+)\)")


def _call(before: str) -> Call:
    """What was being done when the sentence after `before` was said."""
    heading = _last(_HEADING, before) or _last(_URN, before)
    request = _last(_REQUEST, before[-600:])
    command = _last(_COMMAND, before[-400:])
    after = before[max(heading.end() if heading else 0, len(before) - 400) :]
    lines = after.splitlines() or [""]
    return Call(
        kind=re.sub(r"/\w+:", ":", heading["kind"]) if heading else "",
        name=heading["name"] if heading else "",
        words=" ".join(" ".join(lines[-3:]).split()),
        verb=(request["verb"] or "") if request else "",
        path=request["path"] if request else "",
        command=command["command"] if command else "",
    )


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    return next(iter(reversed(list(pattern.finditer(text)))), None)


def _asked_on(call: Call) -> str:
    """The resource of the request's URL; of a list, what it is in: permissions are checked there.

    gcp-facts/01_method_permissions.md: `endpoints.create` is checked on the parent.
    """
    found = re.search(r"/(projects/[^:]+)", call.path)
    parts = found[1].strip("/").split("/") if found else []
    return "/".join(parts[: len(parts) - len(parts) % 2])


_VERBS: Final = {
    "creat": "create",
    "updat": "update",
    "edit": "get",
    "read": "get",
    "retriev": "get",
    "get": "get",
    "delet": "delete",
    "destroy": "delete",
    "list": "list",
    "publish": "publish",
}
_METHODS: Final = {"POST": "create", "PUT": "create", "PATCH": "update", "DELETE": "delete"}


def _inferred(denial: Denial) -> Denial:
    """An unsaid denial with what its call suggests; a service that never says more, taken for it.

    Of "The caller does not have permission" even the service is not known.
    """
    if denial.kind != said.UNSAID:
        return denial
    likely = tuple(dict.fromkeys(filter(roles.exists, _suggested(denial))))
    if denial.service in ("pubsub", "cloudsql") and likely:
        return replace(
            denial, kind=said.PERMISSION, permission=likely[0], likely=likely, about="by the call"
        )
    return replace(denial, likely=likely)


def _suggested(denial: Denial) -> Iterator[str]:
    """Permissions that the call may need, by the names that Google gives calls and permissions."""
    call, service = denial.call, denial.service
    if method := re.search(r"(\w+)\.(?:v\d\w*\.)?\w+\.([A-Z][a-z]+)([A-Z]\w+)$", call.command):
        yield f"{method[1]}.{_plural(method[3])}.{method[2].lower()}"
    elif re.fullmatch(r"[\w-]+(?:\.\w+){2,}", call.command):
        yield call.command.replace("gcloud.", "")
        yield call.command.replace("beta.", "").replace("alpha.", "")
    rest = call.path.partition("/projects/")[2]
    parts = re.split(r"[/:]", rest)
    for name in [service, *re.findall(r"gcp:(\w+):", call.kind)]:
        if rest and len(parts) > 2:
            collection = parts[-1] if len(parts) % 2 == 0 else parts[-2]
            verb = parts[-1] if ":" in rest else _METHODS.get(call.verb, "get")
            yield f"{name}.{parts[-3] if ':' in rest else collection}.{verb}"
        for stem, verb in _VERBS.items():
            if thing := re.search(rf"(?i)\b{stem}\w*(?: or \w+)? (?:the |a )?(\w+)", call.words):
                yield f"{name}.{_plural(thing[1])}.{verb}"
            elif re.search(rf"(?i)\b{stem}\w*", call.words) and call.kind:
                yield f"{name}.{_plural(call.kind.rpartition(':')[2])}.{verb}"
    if re.search(r"(?i)\bcreat\w* (?:the |a )?subscription", call.words):
        yield "pubsub.topics.attachSubscription"  # on the topic, for the same call
    if service == "cloudsql" and re.search(r"connect to|createEphemeral|proxy", call.words):
        yield "cloudsql.instances.connect"
    if service == "cloudsql" and re.search(r"(?i)\bcreat\w* (?:\w+ ){0,2}instance", call.words):
        yield "cloudsql.instances.create"


def _plural(thing: str) -> str:
    return f"{thing[:1].lower()}{thing[1:]}s"


@cache
def _spellings() -> dict[str, str]:
    names = (*roles.names(), *(need.permission for need in table.NEEDS))
    # Roles list `iam.googleapis.com/workloadIdentityPools.get`; denials have no host in it, as
    # users report them.
    hosted = {name.replace(".googleapis.com/", ".", 1).lower(): name for name in names}
    return hosted | {name.lower(): name for name in names}


def spelled(permission: str) -> str:
    """IAM's own spelling of a permission: some services write `iam.serviceaccounts.actAs`."""
    return _spellings().get(permission.lower(), permission)


BY_TEXT: Final = "the text"
BY_SENTENCE: Final = "the sentence"
BY_RESOURCE: Final = "the resource"
BY_STEP: Final = "the step"
BY_TABLE: Final = "the table"


@dataclass(frozen=True)
class Who:
    """Who was refused: an identity of the table, or nobody that it knows; and what tells it."""

    identity: str = ""
    by: str = ""


_AGENTS: Final = {name.format("0"): agent for agent, name in table.AGENTS.items()}
_ACCOUNT: Final = re.compile(r"([a-z][a-z0-9-]*)@[a-z0-9.:-]+\.iam\.gserviceaccount\.com")
_OWN: Final = {  # accounts as resources of the table
    table.DEPLOYER_ACCOUNT: table.DEPLOYER,
    table.PLATFORM_ACCOUNT: table.PLATFORM,
    table.PREVIEW_ACCOUNT: table.PREVIEW,
    table.SERVING_ACCOUNT: table.SERVING,
    table.TELEMETRY_ACCOUNT: table.TELEMETRY,
}
AS_DEPLOYER: Final = frozenset(
    {
        "gcp:vertex:AiEndpoint",
        "vertexops:index:Rollout",
        "vertexops:index:ModelRollout",
        "vertexops:index:MonitoringJob",
        "vertexops:index:RegisteredModel",
    }
)
"""Types that the deployer makes (__main__.py); the platform makes all others."""


def identity_of(principal: str, settings: Settings | None = None) -> str:
    """The table's name for a principal; empty for somebody of elsewhere.

    Without `settings` an account is told by the end of its id, for its prefix is a setting.
    """
    email = principal.partition(":")[2] or principal
    if agent := _AGENTS.get(re.sub(r"-\d+@", "-0@", email)):
        return agent
    if settings:
        members = dict.fromkeys(settings.callers, table.CALLER)
        members[settings.platform_member] = table.PLATFORM
        if settings.preview_member:
            members[settings.preview_member] = table.REVIEWER
        for member, identity in members.items():
            if principal in (member, member.partition(":")[2]):
                return identity
        if job := settings.job(principal):
            return job
        return next((who for who in table.ACCOUNTS if settings.email(who) == email), "")
    if account := _ACCOUNT.fullmatch(email):
        return next((who for who in table.ACCOUNTS if account[1].endswith(who)), "")
    return ""


def who(denial: Denial, settings: Settings | None = None) -> Who:
    """Who was refused: whom the text names, before any other; else who does that step."""
    if denial.principal:
        return Who(identity_of(denial.principal, settings), BY_TEXT)
    if denial.about == "storage agent":
        return Who(table.STORAGE_AGENT, BY_SENTENCE)
    account = _account(denial.resource, settings)
    there = [
        need
        for need in _about(account, lines_of(denial.permission))
        # Callers are whom the settings name.
        if table.CALL not in need.when or (settings and table.CALL in settings.capabilities)
    ]
    candidates = list(dict.fromkeys(need.identity for need in there))
    if account:
        on = [need.identity for need in there if _OWN.get(need.on) == account]
        if len(set(on)) == 1:
            return Who(on[0], BY_RESOURCE)
    if kind := denial.call.kind:
        mine = table.DEPLOYER if kind in AS_DEPLOYER else table.PLATFORM
        if there and mine not in candidates:
            mine = table.PLATFORM  # who becomes the deployer
        if (mine in candidates or not there) and kind.partition(":")[0] in ("gcp", "vertexops"):
            return Who(mine, BY_STEP)
    if len(candidates) == 1:
        return Who(candidates[0], BY_TABLE)
    return Who()


def _account(resource: str, settings: Settings | None) -> str:
    """Which of the stack's accounts a resource is."""
    return identity_of(resource.rpartition("/")[2], settings)


def _about(account: str, needs: list[table.Need]) -> list[table.Need]:
    """Without those that are about another account of the stack than the one that is named."""
    return [need for need in needs if not account or _OWN.get(need.on, account) == account]


def lines_of(permission: str, identity: str | None = None) -> list[table.Need]:
    """The lines of the table about `permission`, of one identity or of all."""
    return [
        need
        for need in table.NEEDS
        if need.permission == permission and identity in (None, need.identity)
    ]


def lines_for(denial: Denial, identity: str, settings: Settings | None = None) -> list[table.Need]:
    """The lines that should have given it, the likeliest first; of `identity`, if it is known."""
    account = _account(denial.resource, settings)
    lines = _about(account, lines_of(denial.permission, identity or None))
    if account and any(_OWN.get(need.on) == account for need in lines):
        lines = [need for need in lines if _OWN.get(need.on) == account]
    elsewhere = settings and not {
        *settings.source_projects,
        *settings.source_buckets,
    }.isdisjoint(re.split(r"[/:@.\"\s]", f"{denial.resource} {denial.call.words}"))
    in_source = bool(elsewhere) or denial.call.name.startswith("source-")
    words = f"{denial.call.words} {denial.call.name}".lower()

    def unlikely(need: table.Need) -> tuple[bool, bool, int]:
        absent = settings is not None and not need.when <= frozenset(settings.capabilities)
        shared = sum(word in words for word in need.step.split() if len(word) > 3)
        return absent, (need.on in table.IN_SOURCE) != in_source, -shared

    return sorted(lines, key=unlikely)


def place(need: table.Need) -> str:
    """Where the line stands, such as `components/permissions.py:123`."""
    key = (need.identity, need.role, need.on, need.step, need.permission)
    return f"components/permissions.py:{_places()[key]}"


@cache
def _places() -> dict[tuple[str, ...], int]:
    """Line numbers in the table's source, by identity, role, resource, step and permission."""
    lines = enumerate(Path(table.__file__).read_text().splitlines(), 1)
    rows = iter([number for number, line in lines if line.startswith(ROW)])
    found: dict[tuple[str, ...], int] = {}
    row, before = next(rows), table.NEEDS[0]
    for need in table.NEEDS:
        if need is not before and not _of_one_row(before, need):
            row = next(rows)
        before = need
        found[need.identity, need.role, need.on, need.step, need.permission] = row
    return found


def _of_one_row(one: table.Need, other: table.Need) -> bool:
    """Whether both are what one row says, of one stack and of two."""
    same = (one.step, one.call, one.permission) == (other.step, other.call, other.permission)
    return same and table.WHOLE in one.when and table.LAYERS in other.when


ROW: Final = '        ("'
"""Begins each row of the table, and no other line of its file."""


def explain(denial: Denial, identity: str | None = None) -> list[str]:
    """Lines for people: the step, who, which permission on what, and the line of the table.

    `identity` is who was refused, where the caller knows better than the text.
    """
    if denial.kind != said.PERMISSION:
        where = f": {denial.resource}" if denial.resource else ""
        notes = ADVICE.get(denial.about, Advice("")).note
        known = {**denial.details, "on": denial.resource, "permission": denial.permission}
        said_first = f"{denial.kind}: {said.KINDS[denial.kind]}{where}"
        return [said_first, *([notes.format_map(Named(known))] if notes else [])]
    told = who(denial)
    identity = identity or told.identity or None
    lines = lines_for(denial, identity or "") or lines_of(denial.permission)
    subject = identity or denial.principal or "the caller"
    on = denial.resource or (lines[0].on if lines else "a resource")
    head = [f"{subject} lacks {denial.permission}", f"on {on}"]
    if not lines:
        return [*head, "No step of this stack needs it: the table has no such line."]
    return [*head, *(f"step: {need.step} ({need.call}) — {place(need)}" for need in lines[:2])]
