"""What conditions in CEL are certain to restrict: IAM's and those of identity providers.

An expression is read as the cases in which it comes out true, and those in which it comes out
false; a case says what is certain in it. What is not followed is certain of nothing, so that a
condition may restrict more than is claimed here, and never less. An expression that cannot be read
restricts nothing. One that fails to evaluate does not grant (docs iam/conditions-overview), so that
only its coming out true counts.

Followed are `&&`, `||`, `!`, `?:`, `==`, `!=`, `in` a list of texts, `startsWith`, the order of
`request.time` and `timestamp('…')`, and `hasOnly` on the roles that a change of a policy touches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from celpy.celparser import CELParser

Node = tuple[Any, ...]
"""A kind and its parts: `("and", left, right)`, `("value", "main")`, `("key", of, "ref")`."""


class Text(NamedTuple):
    """What a name's value is, or else begins with."""

    name: str
    value: str
    exact: bool


@dataclass(frozen=True)
class Case:
    """What holds in one case, all together; nothing where nothing is given.

    `texts` has for a name the texts of which one is its value's; `roles` are those that a change
    of a policy can touch.
    """

    texts: frozenset[tuple[str, frozenset[Text]]] = frozenset()
    until: datetime | None = None
    roles: frozenset[str] | None = None


Cases = frozenset[Case]
ANY: Final[Cases] = frozenset({Case()})
NONE: Final[Cases] = frozenset()


class Outcome(NamedTuple):
    """The cases in which an expression is true, those in which it is false or no boolean, and
    whether it may fail."""

    true: Cases
    false: Cases
    fails: bool


YES: Final = Outcome(ANY, NONE, fails=False)
NO: Final = Outcome(NONE, ANY, fails=False)
OPEN: Final = Outcome(ANY, ANY, fails=True)
"""What is not followed."""
MOST: Final = 1000
"""Cases; where there would be more, one of two restrictions is dropped."""

# What no request lacks: a subject is required (docs iam/workload-identity-federation, "Attribute
# mappings"); of a resource, inferred from docs iam/conditions-attribute-reference, where
# `resource.type != …` is true of all other types. Others may be missing, and comparing them fails.
GIVEN: Final = ("google.subject", "request.time", "resource.service", "resource.type")
REQUEST_TIME: Final = ("key", ("ident", "request"), "time")
MODIFIED_ROLES: Final = (
    "method", "getAttribute", ("ident", "api"),
    ("value", "iam.googleapis.com/modifiedGrantsByRole"), ("list",),
)  # fmt: skip
WRAPPERS: Final = (
    "expr", "conditionalor", "conditionaland", "relation", "addition", "multiplication", "unary",
    "member", "primary", "paren_expr",
)  # fmt: skip
HEX: Final = "[0-9a-fA-F]"
ESCAPE: Final = rf"""\\(?:[abfnrtv"'\\]|x{HEX}{{2}}|u{HEX}{{4}}|U{HEX}{{8}}|[0-3][0-7]{{2}})"""
# As Google's grammar has it (github.com/google/cel-spec, doc/langdef.md). The parser's own is
# looser: it takes r'a\' for the beginning of a longer text.
TEXT: Final = re.compile(
    rf"""[bB]?(?:[rR](?P<q>'''|\"{{3}}|["'])(?P<raw>(?:(?!(?P=q))[^\r])*)(?P=q)"""
    rf"""|(?P<p>'''|\"{{3}}|["'])(?P<text>(?:{ESCAPE}|(?!(?P=p))[^\\\r])*)(?P=p))""",
    re.ASCII,
)
INSTANT: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII
)


def texts(
    expression: str, names: Collection[str], fits: Callable[[Text], bool] = lambda text: True
) -> frozenset[Text] | None:
    """Texts, of which one is certain to hold of its name whenever `expression` is true.

    None where no such texts are certain; empty where the expression is never true. All are of
    `names`, each a variable and one key (`assertion.sub`; what is after the first dot is the key,
    as in `assertion["oidc.circleci.com/project-id"]`), and only those count that `fits` takes.
    """
    found: frozenset[Text] = frozenset()
    for case in _cases(expression):
        able = [some for name, some in sorted(case.texts) if name in names and all(map(fits, some))]
        if not able:
            return None
        found |= min(able, key=lambda some: (not all(text.exact for text in some), len(some)))
    return found


def pinned(expression: str, names: Collection[str]) -> frozenset[str] | None:
    """Values, of which one of `names` is certain to have one whenever `expression` is true.

    None and empty as `texts` has them.
    """
    found = texts(expression, names, lambda text: text.exact)
    return None if found is None else frozenset(text.value for text in found)


def resources(expression: str) -> frozenset[Text] | None:
    """Names and beginnings of names, of which one is certain to be `resource.name`'s whenever
    `expression` is true. None and empty as `texts` has them."""
    return texts(expression, {"resource.name"})


def ends(expression: str) -> datetime | None:
    """An instant in UTC, after which `expression` is certain not to be true; None without one.

    The beginning of time where it is never true.
    """
    latest = datetime.min.replace(tzinfo=UTC)
    for case in _cases(expression):
        if case.until is None:
            return None
        latest = max(latest, case.until)
    return latest


def grants_only(expression: str) -> frozenset[str] | None:
    """Roles, beside which a change of a policy is certain to touch none whenever `expression` is
    true (docs iam/setting-limits-on-granting-roles). None without such; empty where it can touch
    none at all."""
    found: frozenset[str] = frozenset()
    for case in _cases(expression):
        if case.roles is None:
            return None
        found |= case.roles
    return found


def never(expression: str) -> bool:
    """Whether `expression` is certain to be true for no request."""
    return not _cases(expression)


def always(expression: str, since: datetime | None = None) -> bool:
    """Whether `expression` is certain to be true for every request, or is empty.

    With `since`, which has a zone: for every request after it.
    """
    found = _read(expression, since)
    return not found.false and not found.fails


def _cases(expression: str) -> Cases:
    return _read(expression, None).true


@lru_cache(maxsize=1024)
def _read(expression: str, since: datetime | None) -> Outcome:
    if not expression.strip():
        return YES
    try:
        return _outcome(_parsed(expression), since)
    except (ValueError, RecursionError):
        return OPEN


def _outcome(node: Node, since: datetime | None) -> Outcome:
    match node:
        case ("not", part):
            return _not(_outcome(part, since))
        case ("and", left, right):
            return _and(_outcome(left, since), _outcome(right, since))
        case ("or", left, right):
            neither = _and(_not(_outcome(left, since)), _not(_outcome(right, since)))
            return _not(neither)
        case ("if", condition, then, other):
            chosen, a, b = (_outcome(part, since) for part in (condition, then, other))
            return Outcome(
                _both(chosen.true, a.true) | _both(chosen.false, b.true),
                _both(chosen.true, a.false) | _both(chosen.false, b.false),
                chosen.fails or bool(chosen.true and a.fails) or bool(chosen.false and b.fails),
            )
        case ("eq", part, ("value", bool(value))) | ("eq", ("value", bool(value)), part):
            found = _outcome(part, since)
            return found if value else _not(found)
    return _comparison(node, since)


def _not(part: Outcome) -> Outcome:
    return Outcome(part.false, part.true, part.fails)


def _and(left: Outcome, right: Outcome) -> Outcome:
    # Where one side is false, CEL does not mind that the other one fails.
    fails = (left.fails and (right.fails or right.true)) or (right.fails and left.true)
    return Outcome(_both(left.true, right.true), left.false | right.false, bool(fails))


def _both(left: Cases, right: Cases) -> Cases:
    few, many = sorted((left, right), key=len)
    if len(few) * len(many) > MOST:
        return few
    met = (_meet(one, other) for one in few for other in many)
    return frozenset(case for case in met if case)


def _meet(one: Case, other: Case) -> Case | None:
    """What holds where both do; None where they exclude each other."""
    found = dict(one.texts)
    for name, some in other.texts:
        if name in found:
            pairs = (_common(left, right) for left in found[name] for right in some)
            some = frozenset(text for text in pairs if text)
        if not some:
            return None
        found[name] = some
    untils = [until for until in (one.until, other.until) if until]
    roles = [roles for roles in (one.roles, other.roles) if roles is not None]
    return Case(
        frozenset(found.items()),
        min(untils, default=None),
        frozenset.intersection(*roles) if roles else None,
    )


def _common(one: Text, other: Text) -> Text | None:
    """What both, of the same name, leave."""
    narrow, wide = sorted((one, other), key=lambda text: (not text.exact, -len(text.value)))
    fits = narrow == wide if wide.exact else narrow.value.startswith(wide.value)
    return narrow if fits else None


def _comparison(node: Node, since: datetime | None) -> Outcome:
    """Of what has no outcome within it."""
    match node:
        case ("value", bool(value)):
            return YES if value else NO
        case ("eq", ("value", left), ("value", right)):
            return YES if left == right else NO
        case ("eq", left, right) if left == right and _name(left) in GIVEN:
            return YES
        case ("eq", left, ("value", str(value))) | ("eq", ("value", str(value)), left):
            return _one_of(left, [value], exact=True)
        case ("in", left, ("list", *items)) if all(map(_is_text, items)):
            if _is_text(left):
                return YES if left in items else NO
            return _one_of(left, [item[1] for item in items], exact=True)
        case ("method", "startsWith", left, ("value", str(value))):
            return _one_of(left, [value], exact=False)
        case ("method", "hasOnly", left, ("list", *items)) if left == MODIFIED_ROLES:
            if all(map(_is_text, items)):
                return _only(Case(roles=frozenset(item[1] for item in items)))
        case ("lt" | "le" | "gt" | "ge" as order, left, right):
            before = order in ("lt", "le")
            if left == REQUEST_TIME and (instant := _instant(right)):
                return _until(instant, since) if before else _not(_until(instant, since))
            if right == REQUEST_TIME and (instant := _instant(left)):
                return _not(_until(instant, since)) if before else _until(instant, since)
    return OPEN


def _only(case: Case) -> Outcome:
    """True in this case alone; else false, or nothing at all."""
    return Outcome(frozenset({case}), ANY, True)


def _one_of(node: Node, values: list[str], exact: bool) -> Outcome:
    name = _name(node)
    if not name:
        return OPEN
    some = frozenset(Text(name, value, exact) for value in values)
    return _only(Case(frozenset({(name, some)}))) if some else Outcome(NONE, ANY, True)


def _until(instant: datetime, since: datetime | None) -> Outcome:
    if since and instant < since:
        return NO
    return Outcome(frozenset({Case(until=instant)}), ANY, False)


def _name(node: Node) -> str:
    match node:
        case ("key", ("ident", variable), key):
            return f"{variable}.{key}"
    return ""


def _is_text(node: Node) -> bool:
    return node[0] == "value" and isinstance(node[1], str)


def _instant(node: Node) -> datetime | None:
    match node:
        case ("call", "timestamp", ("value", str(value))) if INSTANT.fullmatch(value):
            try:
                return datetime.fromisoformat(value).astimezone(UTC)
            except (ValueError, OverflowError):
                return None
    return None


@lru_cache(maxsize=1)
def _parser() -> CELParser:
    # It takes half a second to import, and most programs have no condition.
    from celpy.celparser import CELParser

    return CELParser()


@lru_cache(maxsize=1024)
def _parsed(expression: str) -> Node:
    """Raises ValueError for what cannot be read."""
    from celpy.celparser import CELParseError

    try:
        tree = _parser().parse(expression)
    except CELParseError as error:
        raise ValueError(str(error)) from None
    return _node(tree)


def _node(tree: Any) -> Node:
    while tree.data in WRAPPERS and len(tree.children) == 1:
        tree = tree.children[0]
    match str(tree.data), tree.children:
        case "literal", [token]:
            return _value(token)
        case "ident", [name]:
            return "ident", str(name)
        case "member_dot", [of, key]:
            return "key", _node(of), str(key)
        case "member_index", [of, index] if _is_text(key := _node(index)):
            return "key", _node(of), key[1]
        case "ident_arg", [name, *arguments]:
            return "call", str(name), *_nodes(arguments)
        case "member_dot_arg", [of, name, *arguments]:
            return "method", str(name), _node(of), *_nodes(arguments)
        case "list_lit", items:
            return "list", *_nodes(items)
        case "unary", [operator, part] if operator.data == "unary_not":
            return "not", _node(part)
        case "conditionaland", [left, right]:
            return "and", _node(left), _node(right)
        case "conditionalor", [left, right]:
            return "or", _node(left), _node(right)
        case "expr", [condition, then, other]:
            return "if", _node(condition), _node(then), _node(other)
        case "relation", [operator, right]:
            left, kind = operator.children[0], operator.data.removeprefix("relation_")
            compared = ("eq" if kind == "ne" else kind, _node(left), _node(right))
            return ("not", compared) if kind == "ne" else compared
    for literal in tree.find_data("literal"):  # may hide what follows
        _value(literal.children[0])
    return ("unknown",)


def _nodes(lists: list[Any]) -> list[Node]:
    """Of the items of a list of expressions, if there is one."""
    return [_node(item) for some in lists for item in some.children]


def _value(token: Any) -> Node:
    """Raises ValueError for a text that is not certain to be what Google reads."""
    if token.type == "BOOL_LIT":
        return "value", token == "true"
    if token.type == "INT_LIT" and "x" not in token:
        return "value", int(token)
    if not token.endswith(("'", '"')):
        return ("unknown",)
    if not (read := TEXT.fullmatch(token)):
        raise ValueError(f"{token} is not followed")
    if token.type == "BYTES_LIT":
        return ("unknown",)
    if read["text"] is None:
        return "value", read["raw"]
    unescaped = re.sub(ESCAPE, lambda it: it[0].encode().decode("unicode_escape"), read["text"])
    return "value", unescaped
