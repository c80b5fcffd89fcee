"""An error as people have it, made readable: terminals, logs, tracebacks, JSON within JSON.

`views` undoes what a terminal did to a text; `read` takes each view apart into what is said and
what Google sent as data (google.rpc.Status, entries of Cloud Logging), with every escape undone.
"""

from __future__ import annotations

import ast
import html
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

DEPTH: Final = 8
"""How many times a text may have been escaped; each log or client that passes one on adds one."""

LONGEST: Final = 50_000
"""Characters that are tried at most of what is not JSON as it stands."""

WIDTHS: Final = frozenset({72, 80, 100, 120, 132, 140, 160, 180, 200})
"""Columns that terminals have; only lines of exactly these may have been cut within a word."""


@dataclass(frozen=True)
class Status:
    """google.rpc.Status, or what an older API or an audit log says in its place.

    `violations` are type, subject and description of PreconditionFailure and QuotaFailure; `checks`
    the permission and the resource of each check that an audit log entry has as not granted.
    """

    message: str = ""
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[tuple[str, str, str], ...] = ()
    checks: tuple[tuple[str, str], ...] = ()
    principal: str = ""
    method: str = ""
    resource: str = ""
    denied: bool = False
    """Whether the status itself is PERMISSION_DENIED."""


Piece = str | Status

# ESC as it is, and as JSON, Python, shells and pagers write it; `[31m` alone is what is left where
# a log dropped it. Pulumi's own marks stand in its event log.
_ESC = r"(?:\x1b|\\+(?:u001[bB]|x1[bB]|033|e)|\^\[|␛)"
_COLOUR: Final = re.compile(
    rf"{_ESC}\[[0-9;?]*[ -/]*[@-~]|{_ESC}\][^\x07\x1b]*(?:\x07|{_ESC}\\)"
    r"|(?<![\w\]])\[(?:\d{1,3}(?:;\d{1,3})*m|m(?!\w))|<\{%[^%]*%\}>"
)
# What stands before each line: Terraform's frame, a CI runner's or a debug log's time and source.
_BEFORE: Final = re.compile(
    r"^(?:[ \t]*[│┃╷╵|❱][ \t]?)+"
    r"|^\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d)[ \t]+(?:\[\w+\][ \t]+(?:[\w.\-/]+:)?)?"
    r"|^##\[\w+\]",
    re.M,
)
_AFTER: Final = re.compile(r"[ \t]+[│┃|]?[ \t]*$", re.M)
_MAIL_LINK: Final = re.compile(r"\[([\w.+\s-]+@[\w.\s-]+)\]\(mailto:[\w.+@\s-]+\)")
_HYPHENATED: Final = re.compile(r"(?<=[A-Za-z0-9])-\n[ \t]*(?=[a-z0-9])")
_ESCAPE: Final = re.compile(r"""\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([nrt"'/\\`]))""")
_ENTITY: Final = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|quot|apos|lt|gt|amp|nbsp);")
_LETTERS: Final = {"n": "\n", "r": "\n", "t": "\t"}
_JSON: Final = json.JSONDecoder(strict=False)  # a terminal breaks lines within strings


def views(text: str) -> list[str]:
    """Ways to read `text`, by what may have been done to its lines; the likeliest first.

    A terminal breaks lines at its width, within words; an editor between words or after a hyphen.
    Which of them it was cannot be told from the lines alone.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    plain = _clean(text)
    # Colours may have been counted as columns, or not.
    joined = [view for view in (_joined(plain), _clean(_joined(text))) if view != plain]
    found = [plain, *joined] if _between_words(plain) else [*joined, plain]
    return list(dict.fromkeys(_HYPHENATED.sub("-", view) for view in found))


def _clean(text: str) -> str:
    text = _AFTER.sub("", _BEFORE.sub("", _COLOUR.sub("", text)))
    return _MAIL_LINK.sub(lambda link: re.sub(r"\s+", "", link[1]), text)


def _joined(text: str) -> str:
    """`text` without the line breaks after lines that are as long as a terminal is wide."""
    lines = text.split("\n")
    width = max(map(len, lines))
    if width not in WIDTHS:
        return text
    return "".join(line if len(line) == width else f"{line}\n" for line in lines)


def _between_words(text: str) -> bool:
    """Whether more lines end where the next word had no room than at the very last column."""
    lines = text.split("\n")
    width = max(map(len, lines))
    cut = spared = 0
    for line, following in itertools.pairwise(lines):
        word = re.match(r"[^\s-]*-?", following)
        if len(line) == width and following:
            cut += 1
        # A column less may be a space that was the last one.
        elif width // 2 < len(line) < width - 1 < len(line) + len(word[0] if word else ""):
            spared += 1
    return spared >= cut


def read(text: str, depth: int = 0) -> list[Piece]:
    """What `text` says, in order: plain texts without escapes, and statuses found as data."""
    pieces: list[Piece] = []
    done = position = 0
    escaped = "\\" in text or "&" in text
    while (position := text.find("{", position)) >= 0:
        value, end = _data(text, position)
        if value is not None:
            pieces += _said(text[done:position], depth)
            pieces += _walk(value, depth)
            done = position = end
            continue
        # What is escaped is taken whole: what it holds would be data of itself, out of its place.
        body = _braced(text, position) if escaped else ""
        plain = unescaped(body)
        if plain != body and depth < DEPTH:
            pieces += _said(text[done:position], depth)
            pieces += read(_BEFORE.sub("", plain), depth + 1)
            done = position = position + len(body)
        else:
            position += 1
    return pieces + _said(text[done:], depth)


def _said(text: str, depth: int) -> list[Piece]:
    if not text.strip():
        return []
    plain = unescaped(text)
    if plain == text or depth >= DEPTH:
        return [text]
    return read(_BEFORE.sub("", plain), depth + 1)  # frames show once lines are lines again


def unescaped(text: str) -> str:
    """`text` with one layer of escapes undone: backslashes, and HTML's entities."""
    return _ENTITY.sub(lambda found: html.unescape(found[0]), _ESCAPE.sub(_character, text))


def _character(found: re.Match[str]) -> str:
    if code := found[1] or found[2]:
        return chr(int(code, 16))
    return _LETTERS.get(found[3], found[3])


def _data(text: str, start: int) -> tuple[dict[str, Any] | None, int]:
    """The JSON object, or the Python dictionary, that begins at `start`, and where it ends."""
    try:
        value, end = _decoded(text, start)
    except (ValueError, RecursionError):
        if not re.match(r"\{\s*u?'", text[start : start + 20]):
            return None, start
        body = _balanced(text, start)
        try:
            value, end = ast.literal_eval(body), start + len(body)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None, start
    return (value, end) if isinstance(value, dict) and value else (None, start)


def _decoded(text: str, start: int) -> tuple[Any, int]:
    try:
        return _JSON.raw_decode(text, start)
    except ValueError:
        # Put through repr(), quotes within JSON were escaped as JSON itself never does.
        body = text[start : start + LONGEST]
        if "\\'" not in body:
            raise
        end = _JSON.raw_decode(body.replace("\\'", "__"))[1]
        return json.loads(body[:end].replace("\\'", "'"), strict=False), start + end


def _braced(text: str, start: int) -> str:
    """From the brace at `start` to the one that closes it, whatever quotes there are."""
    depth = 0
    for found in re.finditer(r"[{}]", text[start : start + LONGEST]):
        depth += 1 if found[0] == "{" else -1
        if not depth:
            return text[start : start + found.end()]
    return ""


def _balanced(text: str, start: int) -> str:
    """From the brace at `start` to the one that closes it; braces within quotes do not count."""
    depth, quote, skip = 0, "", False
    for index in range(start, min(len(text), start + LONGEST)):
        char = text[index]
        if skip:
            skip = False
        elif char == "\\":
            skip = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        else:
            depth += (char == "{") - (char == "}")
            if not depth:
                return text[start : index + 1]
    return ""


def _walk(value: Any, depth: int) -> Iterator[Piece]:
    match value:
        case str():
            yield from read(value, depth + 1) if depth < DEPTH else [value]
        case list():
            for item in value:
                yield from _walk(item, depth)
        case {"authenticationInfo": dict()} | {"authorizationInfo": list()}:
            yield from _audited(value, depth)
        case {"message": str(message), **rest} if rest.keys() & {"code", "status", "details"}:
            yield from _status(message, value, depth)
        case {"error": str(reason), "error_description": str(message)}:
            yield Status(message=message, reason=reason)
        case {"@type": str(kind)} if kind.rpartition(".")[2] in _DETAILS:
            yield _with_details("", [value], {})  # a client printed the details by themselves
        case dict():
            for item in value.values():
                yield from _walk(item, depth)


def _status(message: str, value: dict[str, Any], depth: int) -> Iterator[Piece]:
    """A status; where its message holds another one, as clients pass them on, that one."""
    inner = list(read(message, depth + 1)) if depth < DEPTH else [message]
    if any(isinstance(piece, Status) for piece in inner):
        yield from inner
        return
    details = [item for item in value.get("details") or () if isinstance(item, dict)]
    yield _with_details(" ".join(map(str, inner)) or message, details, value)
    for item in value.get("errors") or ():
        yield from _walk(item, depth)


def _with_details(message: str, details: Iterable[dict[str, Any]], value: Any) -> Status:
    reason, metadata, violations = "", {}, []
    for detail in details:
        kind = str(detail.get("@type", "")).rpartition(".")[2]
        if kind == "ErrorInfo":
            reason = str(detail.get("reason", ""))
            given = detail.get("metadata")
            metadata = {str(k): str(v) for k, v in given.items()} if isinstance(given, dict) else {}
        if kind in ("PreconditionFailure", "QuotaFailure"):
            for one in detail.get("violations") or ():
                violations.append(tuple(str(one.get(k, "")) for k in _VIOLATION))
    code, status = value.get("code"), value.get("status")
    return Status(
        message=message,
        reason=reason,
        metadata=metadata,
        violations=tuple((a, b, c) for a, b, c in violations),
        denied=status == "PERMISSION_DENIED" or code == 7,
    )


_DETAILS: Final = ("ErrorInfo", "PreconditionFailure", "QuotaFailure")
_VIOLATION: Final = ("type", "subject", "description")


def _audited(entry: dict[str, Any], depth: int) -> Iterator[Piece]:
    """An audit log entry (google.cloud.audit.AuditLog), when what it tells of was refused."""
    status = entry.get("status")
    status = status if isinstance(status, dict) else {}
    if not status.get("code"):
        return
    who = entry.get("authenticationInfo") or {}
    principal = who.get("principalEmail") or who.get("principalSubject") or ""
    resource = str(entry.get("resourceName") or "")
    refused = [
        (str(check.get("permission") or ""), str(check.get("resource") or resource))
        for check in entry.get("authorizationInfo") or ()
        if isinstance(check, dict) and not check.get("granted")
    ]
    told = entry.get("metadata")
    identifier = told.get("vpcServiceControlsUniqueId") if isinstance(told, dict) else None
    details = [item for item in status.get("details") or () if isinstance(item, dict)]
    found = _with_details(unescaped(str(status.get("message") or "")), details, status)
    yield Status(
        message=found.message,
        reason=found.reason or ("SECURITY_POLICY_VIOLATED" if identifier else ""),
        metadata={**found.metadata, **({"uid": str(identifier)} if identifier else {})},
        violations=found.violations,
        checks=tuple(check for check in refused if check[0]) if found.denied else (),
        principal=str(principal).removeprefix("serviceAccount:"),
        method=str(entry.get("methodName") or ""),
        resource=resource,
        denied=found.denied,
    )
