"""What conditions are said to restrict, held to what Google's own CEL makes of them.

The conditions are drawn by `random`, not by hypothesis, which spends more time on one than both
evaluations together; the floors count on the same ones in each run as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any, NamedTuple

import pytest

from policies.gcp_access import cel
from policies.gcp_access.cel import Text
from simulator.api.errors import ApiError
from simulator.iam.conditions import MODIFIED_GRANTS, holds
from simulator.identity.mapping import accepts, compiled

REPOSITORY = frozenset({"assertion.repository", "attribute.repository"})
MODIFIED = f"api.getAttribute('{MODIFIED_GRANTS}', [])"
NOON = datetime(2027, 1, 31, 12, tzinfo=UTC)
CONDITIONS = 600

Make = Callable[[Random], str]


def literal(draw: Random, values: Sequence[str]) -> str:
    """One of the texts, in one of the ways in which CEL lets one write it."""
    value = draw.choice(values)
    escaped = "".join(f"\\x{ord(letter):02x}" for letter in value[:1]) + value[1:]
    return draw.choice(
        [f"'{value}'", f'"{value}"', f"r'{value}'", f"'''{value}'''", f"'{escaped}'"]
    )


def compared(draw: Random, names: Sequence[str], values: Sequence[str]) -> str:
    name, text = draw.choice(names), literal(draw, values)
    some = ", ".join(literal(draw, values) for _ in range(draw.randrange(3)))
    return draw.choice(
        [
            f"{name} == {text}",
            f"{text}=={name}",
            f"{name} != {text}",
            f"{name} in [{some}]",
            f"{name}.startsWith({text})",
            f"{name} == {draw.choice(names)}",
        ]
    )


def constant(draw: Random) -> str:
    return draw.choice(
        ["true", "false", "1 == 1", "'a' == \"b\"", "1 == 2", "'x' in ['y', 'x']", "'x' in []"]
    )


def nested(draw: Random, atom: Make, depth: int = 4) -> str:
    """A condition of atoms; where there are no parentheses, the operators' ranks decide."""
    if not depth or (depth < 4 and draw.random() < 0.65):
        return atom(draw)

    def part() -> str:
        inner = nested(draw, atom, depth - 1)
        return f"({inner})" if draw.random() < 0.7 else inner

    match draw.randrange(9):
        case 0 | 1 | 2:
            return f"{part()} && {part()}"
        case 3 | 4:
            return f"{part()} || {part()}"
        case 5:
            return f"!({nested(draw, atom, depth - 1)})"
        case 6 | 7:
            return f"{part()} ? {part()} : {part()}"
        case _:
            return f"({part()}) {draw.choice(['==', '!='])} {draw.choice(['true', 'false'])}"


def fits(text: Text, value: Any) -> bool:
    if not isinstance(value, str):
        return False
    return value == text.value if text.exact else value.startswith(text.value)


class Token(NamedTuple):
    claims: dict[str, Any]
    mapped: dict[str, Any]

    def value(self, name: str) -> Any:
        variable, _, key = name.partition(".")
        return self.claims.get(key) if variable == "assertion" else self.mapped.get(name)


CLAIMS: dict[str, tuple[Any, ...]] = {
    "repository": ("octo/a", "octo/b", "octo/ab", "mallory/x", 7, None),
    "ref": ("main", "octo/a", None),
    "sub": ("repo:octo/a:ref:main", "repo:octo/a:", "repo:mallory/x:ref:main", "repo:", None),
    "flag": (True, False, "true", None),
}
MAPPED = {"attribute.repository": ("octo/a", "octo/b", "mallory/x", None)}


def given(draw: Random, choices: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    """One value for each name; None is left out."""
    drawn = {name: draw.choice(values) for name, values in choices.items()}
    return {name: value for name, value in drawn.items() if value is not None}


def token(draw: Random) -> Token:
    subject = {"google.subject": draw.choice(["main", "octo/a", "x"])}
    return Token(given(draw, CLAIMS), given(draw, MAPPED) | subject)


def federation(draw: Random) -> str:
    names = ["assertion.repository", 'assertion["repository"]', "attribute.repository"]
    match draw.randrange(10):
        case 0 | 1 | 2 | 3 | 4:
            return compared(draw, names, ["octo/a", "octo/b", "octo/"])
        case 5 | 6:
            values = ["repo:octo/a:", "repo:octo/a:ref:main", "repo:"]
            return compared(draw, ["assertion.sub"], values)
        case 7:
            return compared(draw, ["assertion.ref", "google.subject"], ["main", "octo/a"])
        case 8:
            return draw.choice(
                ["has(assertion.repository)", "has(attribute.repository)", "assertion.flag",
                 "assertion.ref in [assertion.repository]", "assertion.repository == 7",
                 "assertion.repository in ['octo/a', 7]"]
            )  # fmt: skip
        case _:
            return constant(draw)


A, B = "octo/a", "octo/b"
MAIN = "assertion.ref == 'main'"
IS_A, IS_B = f"assertion.repository == '{A}'", f"assertion.repository == '{B}'"

FORTY = " || ".join(f"assertion.repository == 'octo/{n}'" for n in range(40))

# Condition -> the repositories of which one is certain; None where a stranger may come.
PINNED: dict[str, set[str] | None] = {
    "": None,
    "   ": None,
    MAIN: None,
    IS_A: {A},
    f"'{A}' == assertion.repository": {A},
    f'assertion["repository"] == "{A}"': {A},
    f"attribute.repository == '{A}'": {A},
    f"assertion.repository in ['{A}', '{B}']": {A, B},
    f"(({IS_A}))&&({MAIN})": {A},
    f"{MAIN} && {IS_A} || {IS_B}": {A, B},
    f"{IS_A} || attribute.repository == '{B}'": {A, B},
    f"{IS_A} && {IS_B}": set(),
    f"assertion.repository in ['{A}', '{B}'] && !({IS_B})": {A, B},
    f"{IS_A} || {MAIN}": None,
    f"{IS_A} || assertion.repository != '{A}'": None,
    f"assertion.repository != '{A}'": None,
    f"!(assertion.repository != '{A}')": {A},
    f"!!({IS_A})": {A},
    f"!({IS_A})": None,
    f"!({IS_A} || {MAIN})": None,
    f"!(assertion.repository != '{A}' || !({MAIN}))": {A},
    f"!({MAIN} && assertion.repository != '{A}')": None,
    # `?:` binds last.
    f"{MAIN} ? true : false && {IS_A}": None,
    f"({MAIN} ? true : false) && {IS_A}": {A},
    f"{MAIN} ? {IS_A} : {IS_B}": {A, B},
    f"{MAIN} ? {IS_A} : true": None,
    f"{MAIN} ? {IS_A} : false": {A},
    f"{IS_A} ? {MAIN} : false": {A},
    f"{IS_A} ? false : true": None,
    f"!({IS_A}) ? false : true": {A},
    f"{MAIN} ? ({IS_A} ? true : false) : ({IS_B} ? !false : {MAIN} && false)": {A, B},
    f"has(assertion.ref) ? {IS_A} : {IS_B}": {A, B},
    f"has(assertion.repository) && {IS_A}": {A},
    f"has(assertion.repository) || {IS_A}": None,
    f"({IS_A}) == true": {A},
    f"({IS_A}) != false": {A},
    f"false == ({IS_A})": None,
    f"({IS_A}) == ({MAIN})": None,
    f"({IS_A}) == assertion.flag": None,
    f"{IS_A} && true || false": {A},
    f"{IS_A} || true": None,
    f"{IS_A} || 1 == 1": None,
    # Not one text, or not of this name.
    "assertion.repository.startsWith('octo/')": None,
    "assertion.repository.lowerAscii() == 'octo/a'": None,
    "assertion.repository == assertion.repository": None,
    "assertion.repository == assertion.other": None,
    "assertion.repository in assertion.others": None,
    f"assertion.repository in ['{A}', assertion.repository]": None,
    f"assertion.repository in ['{A}', 7]": None,
    "assertion.repository in []": set(),
    f"'{A}' in assertion.repository": None,
    f"assertion.repository.name == '{A}'": None,
    f"other.repository == '{A}'": None,
    f"assertion[assertion.key] == '{A}'": None,
    f"['x'].exists(assertion, {IS_A})": None,
    f"[assertion].all(a, a.repository == '{A}')": None,
    f"{IS_A} == true == false": None,
    # Texts.
    "assertion.ref == \"x' || assertion.repository == 'octo/a\"": None,
    "assertion.repository == 'x || y'": {"x || y"},
    "assertion.repository == 'it\\'s'": {"it's"},
    "assertion.repository == '\\x6f\\143\\u0074o'": {"octo"},
    "assertion.repository == r'o\\x'": {"o\\x"},
    "assertion.repository == '''a'b'''": {"a'b"},
    f"assertion.repository == b'{A}'": None,
    f"r'a\\' == assertion.ref || 'x' != {IS_A}'": None,
    f"{MAIN} // && {IS_A}": None,
    f"{IS_A} // || true": {A},
    f"{MAIN} // a comment\n && {IS_A}": {A},
    # By the grammar a raw text ends at the first quote; the parser goes on to the next.
    r"r'a\' != ' == assertion.repository //'": None,
    rf"{IS_A} && size(r'a\' + '+') == 3 || true || size(') //') == 4": None,
    # Not to be read.
    f"{IS_A} &&": None,
    f"{IS_A} and {MAIN}": None,
    f"{IS_A}; true": None,
    "assertion.repository = 'octo/a'": None,
    "assertion.repository == 'octo/a": None,
    # Deep.
    "(" * 300 + IS_A + ")" * 300: {A},
    "!" * 300 + f"({IS_A})": {A},
    "!" * 301 + f"({IS_A})": None,
    "!" * 3000 + f"({IS_A})": None,
    "(" * 3000 + IS_A + ")" * 3000: {A},
    f"{FORTY} || {IS_A}": {f"octo/{n}" for n in range(40)} | {A},
    " || ".join(f"assertion.repository == 'octo/{n}'" for n in range(200)): {
        f"octo/{n}" for n in range(200)
    },
    # More cases than are followed: one side is.
    f"({FORTY}) && ({FORTY.replace('repository', 'other')})": {
        f"octo/{n}" for n in range(40)
    },
    " && ".join([f"({IS_A} || {IS_B} || attribute.repository == 'c')"] * 12): {A, B, "c"},
}  # fmt: skip


@pytest.mark.parametrize("condition", PINNED, ids=lambda condition: condition[:60])
def test_the_repositories_to_which_a_condition_restricts(condition: str) -> None:
    assert cel.pinned(condition, REPOSITORY) == PINNED[condition]


def test_where_a_text_begins_with_a_repository_and_whether_it_is_all() -> None:
    begins = "assertion.sub.startsWith('repo:octo/a:')"
    beginning = Text("assertion.sub", "repo:octo/a:", exact=False)
    whole = Text("assertion.sub", "repo:octo/a:ref", exact=True)
    names = {"assertion.sub", "assertion.repository"}
    assert cel.texts(begins, names) == {beginning}
    assert cel.texts(f"!({begins})", names) is None
    assert cel.texts("assertion.sub == 'repo:octo/a:ref'", names) == {whole}
    assert cel.texts(f"{begins} && assertion.sub == 'repo:octo/a:ref'", names) == {whole}
    assert cel.texts(f"{begins} && assertion.sub == 'repo:octo/b'", names) == set()
    assert cel.texts(f"{begins} && assertion.sub.startsWith('repo:')", names) == {beginning}
    assert cel.texts(f"{begins} || assertion.sub == 'repo:octo/b'", names) == {
        beginning, Text("assertion.sub", "repo:octo/b", exact=True)
    }  # fmt: skip
    assert cel.pinned(begins, names) is None
    # The caller says what will do.
    wide = f"assertion.sub.startsWith('repo:octo/') && ({IS_A} || {begins})"
    assert cel.texts(wide, names, lambda text: text.value == "repo:octo/a:") is None
    assert cel.texts(wide, names, lambda text: text.value.endswith(("/a", "/a:"))) == {
        beginning, Text("assertion.repository", A, exact=True)
    }  # fmt: skip


def test_a_key_is_all_that_follows_the_first_dot() -> None:
    name = "assertion.oidc.circleci.com/project-id"
    condition = "assertion['oidc.circleci.com/project-id'] == '1'"
    assert cel.pinned(condition, {name}) == {"1"}
    assert cel.pinned("assertion.a.b == '1'", {"assertion.a.b", "a.b"}) is None


UNTIL = "request.time < timestamp('2027-01-31T12:00:00Z')"
LATER = 'request.time<=timestamp("2027-01-31T15:00:00.5+02:00")'
ENDS: dict[str, datetime | None] = {
    "": None,
    UNTIL: NOON,
    LATER: NOON + timedelta(hours=1, seconds=0.5),
    "timestamp('2027-01-31T12:00:00Z') > request.time": NOON,
    "timestamp('2027-01-31T12:00:00Z') >= request.time": NOON,
    f"!({UNTIL})": None,
    "!(request.time >= timestamp('2027-01-31T12:00:00Z'))": NOON,
    "request.time > timestamp('2027-01-31T12:00:00Z')": None,
    "timestamp('2027-01-31T12:00:00Z') < request.time": None,
    f"{UNTIL} && {LATER}": NOON,
    f"{UNTIL} || {LATER}": NOON + timedelta(hours=1, seconds=0.5),
    f"{UNTIL} || 1 == 1": None,
    f"{UNTIL} ? true : false": NOON,
    f"{UNTIL} ? true : resource.type == 'x'": None,
    "request.time > timestamp('2020-01-01T00:00:00Z') && " + UNTIL: NOON,
    "false": datetime.min.replace(tzinfo=UTC),
    "request.time < timestamp('2027-01-31')": None,
    "request.time < timestamp('2027-02-30T00:00:00Z')": None,
    "request.time < timestamp('0001-01-01T00:00:00+02:00')": None,
    "request.time < timestamp('2027-01-31T12:00:00Z') + duration('1h')": None,
    "request.time.getFullYear() < 2027": None,
    "request['time'] < timestamp('2027-01-31T12:00:00Z')": NOON,
    "resource.time < timestamp('2027-01-31T12:00:00Z')": None,
}


@pytest.mark.parametrize("condition", ENDS)
def test_when_a_condition_ends(condition: str) -> None:
    assert cel.ends(condition) == ENDS[condition]


GRANTS: dict[str, set[str] | None] = {
    f"{MODIFIED}.hasOnly(['roles/pubsub.publisher'])": {"roles/pubsub.publisher"},
    f"{MODIFIED}.hasOnly([])": set(),
    f"{MODIFIED}.hasOnly(['a', 'b']) && {MODIFIED}.hasOnly(['b', 'c'])": {"b"},
    f"{MODIFIED}.hasOnly(['a']) && {MODIFIED}.hasOnly(['b'])": set(),
    f"{MODIFIED}.hasOnly(['a']) || {MODIFIED}.hasOnly(['b'])": {"a", "b"},
    f"{MODIFIED}.hasOnly(['a']) && {UNTIL}": {"a"},
    f"{MODIFIED}.hasOnly(['a']) || {UNTIL}": None,
    f"!{MODIFIED}.hasOnly(['roles/owner'])": None,
    f"!(!{MODIFIED}.hasOnly(['a']))": {"a"},
    f"{MODIFIED}.hasOnly(['a', resource.name])": None,
    f"{MODIFIED[:-3]}['b']).hasOnly(['a'])": None,
    "api.getAttribute('iam.googleapis.com/other', []).hasOnly(['a'])": None,
    f"api.getAttribute('{MODIFIED_GRANTS}').hasOnly(['a'])": None,
    f"other.getAttribute('{MODIFIED_GRANTS}', []).hasOnly(['a'])": None,
    f"'a' in {MODIFIED}": None,
    UNTIL: None,
    "false": set(),
}


@pytest.mark.parametrize("condition", GRANTS)
def test_the_roles_that_a_limited_administrator_can_grant(condition: str) -> None:
    assert cel.grants_only(condition) == GRANTS[condition]


def test_the_resources_to_which_a_condition_restricts() -> None:
    whole = Text("resource.name", "projects/_/buckets/a", exact=True)
    within = Text("resource.name", "projects/_/buckets/a/", exact=False)
    both = f"resource.name == '{whole.value}' || resource.name.startsWith('{within.value}')"
    assert cel.resources(both) == {whole, within}
    assert cel.resources(f"resource.type != 'x' && ({both})") == {whole, within}
    assert cel.resources(f"resource.type != 'x' || {both}") is None
    assert cel.resources("resource.name.endsWith('a')") is None


ALWAYS = {
    "", " ", "true", "!false", "1 == 1", "'a' == \"a\"", "'a' in ['b', 'a']", "1 != 2",
    "request.time == request.time", "resource.type == resource.type",
    f"{UNTIL} || 1 == 1", f"{UNTIL} ? true : !false", "false ? resource.name == 'x' : true",
    "resource.name == 'x' || true", "true || unheard.of", "(true) == true", "!(false && x.y)",
}  # fmt: skip
OPEN = {
    "false", "resource.name == resource.name", "resource.name == 'x'", UNTIL, "'a' == 'b'",
    "assertion.x == assertion.x", "has(assertion.x)", "assertion.x || !assertion.x", "true &&",
    "true ? !(assertion.x == 'a' && assertion.x == 'b') : true",
    "assertion.x ? true : true", "!(assertion.x == 'a' && assertion.x == 'b')", "true == 'a'",
    "request.time > timestamp('2020-01-01T00:00:00Z')", "1 == '1'", "!" * 3000 + "true", "'true'",
    "// true", "'a' in ['a', resource.name]",
}  # fmt: skip


@pytest.mark.parametrize("condition", sorted(ALWAYS | OPEN), ids=lambda condition: condition[:60])
def test_whether_a_condition_is_always_true(condition: str) -> None:
    assert cel.always(condition) is (condition in ALWAYS)


def test_an_instant_that_has_passed_restricts_nothing_and_lets_nobody_in() -> None:
    begun = "request.time > timestamp('2020-01-01T00:00:00Z')"
    assert cel.always(begun, since=NOON)
    assert not cel.always(begun, since=datetime(2019, 1, 1, tzinfo=UTC))
    assert cel.always(f"!({UNTIL})", since=NOON + timedelta(1))
    assert not cel.always(UNTIL, since=NOON + timedelta(1))


def test_what_is_never_true() -> None:
    never = ["false", f"{IS_A} && {IS_B}", "1 == 2", f"{MAIN} ? false : {IS_A} && !true",
             f"{IS_A} && assertion.repository.startsWith('x')"]  # fmt: skip
    assert all(map(cel.never, never))
    assert not any(map(cel.never, ["", "true", IS_A, f"{IS_A} || {IS_B}", "((", UNTIL]))


def refused(condition: str) -> bool:
    """By Google's CEL."""
    try:
        compiled(condition, "attribute_condition")
    except ApiError:
        return True
    return False


def count(condition: str, granted: int, of: int, counts: Counter[str]) -> None:
    """What is said of all requests, held to those sampled."""
    always, never = cel.always(condition), cel.never(condition)
    assert not always or granted == of, condition
    assert not never or not granted, condition
    counts["conditions"] += 1
    counts["always true"] += granted == of
    counts["always true, and said so"] += always
    counts["never true"] += not granted
    counts["never true, and said so"] += never


def test_no_token_gets_in_that_a_condition_is_said_to_keep_out(
    show: Callable[[str], None],
) -> None:
    draw, counts = Random(16), Counter[str]()
    tokens = [token(draw) for _ in range(60)]
    for condition in (nested(draw, federation) for _ in range(CONDITIONS)):
        try:
            accepted = [token for token in tokens if accepts(condition, *token)]
        except ApiError:
            counts["refused by Google's CEL"] += 1
            continue
        count(condition, len(accepted), len(tokens), counts)
        for names in (REPOSITORY, {"assertion.repository"}, {"assertion.sub"}):
            some, exact = cel.texts(condition, names), cel.pinned(condition, names)
            for one in accepted:
                assert exact is None or exact & {one.value(name) for name in names}, condition
                assert some is None or any(fits(text, one.value(text.name)) for text in some), (
                    condition
                )
        own = [
            any(str(one.value(name)).startswith("octo/") for name in REPOSITORY) for one in accepted
        ]
        if own and all(own):
            counts["own repositories"] += 1
            counts["own repositories, and said so"] += bool(cel.texts(condition, REPOSITORY))
        counts["a sub, or how one begins"] += bool(cel.texts(condition, {"assertion.sub"}))
    show(f"conditions of providers: {dict(counts)}")
    assert counts["refused by Google's CEL"] < CONDITIONS / 10
    assert counts["own repositories, and said so"] > 0.7 * counts["own repositories"] > 70
    assert counts["a sub, or how one begins"] > 50
    assert counts["always true, and said so"] > 0.4 * counts["always true"] > 5


class Request(NamedTuple):
    resource: dict[str, str]
    now: datetime
    modified: tuple[str, ...]

    def meets(self, condition: str) -> bool:
        return holds(condition, self.resource, (), self.now.timestamp(), self.modified)


BUCKETS = ("projects/_/buckets/a", "projects/_/buckets/a/objects/x", "projects/_/buckets/ab")
ROLES = ("roles/viewer", "roles/editor", "roles/owner")
KINDS = ("storage.googleapis.com/Bucket", "storage.googleapis.com/Object", "")


def request(draw: Random) -> Request:
    """Before, at and after the instants that conditions name; a resource may have no name."""
    resource = {"resource.type": draw.choice(KINDS), "resource.service": ""}
    return Request(
        resource | given(draw, {"resource.name": (*BUCKETS, "projects/p", None)}),
        NOON + timedelta(hours=draw.randrange(-2, 3), seconds=draw.randrange(-1, 2)),
        tuple(draw.sample(ROLES, draw.randrange(3))),
    )


def timed(draw: Random) -> str:
    zone = timezone(timedelta(hours=draw.choice([0, 2, -5])))
    at = (NOON + timedelta(hours=draw.randrange(-2, 2))).astimezone(zone).isoformat()
    instant = f"timestamp('{draw.choice([at, at.replace('+00:00', '.000Z')])}')"
    order = draw.choice(["<", "<=", ">", ">="])
    return draw.choice([f"request.time {order} {instant}", f"{instant}{order}request.time"])


def iam(draw: Random) -> str:
    match draw.randrange(10):
        case 0 | 1 | 2:
            return timed(draw)
        case 3 | 4 | 5:
            return compared(draw, ["resource.name"], [*BUCKETS[:2], "projects/_/"])
        case 6 | 7:
            roles = [literal(draw, ROLES[:2]) for _ in range(draw.randrange(3))]
            return f"{MODIFIED}.hasOnly([{', '.join(roles)}])"
        case 8:
            return compared(draw, ["resource.type"], KINDS)
        case _:
            return constant(draw)


def test_no_request_is_granted_that_a_condition_is_said_to_exclude(
    show: Callable[[str], None],
) -> None:
    draw, counts = Random(16), Counter[str]()
    requests = [request(draw) for _ in range(60)]
    later = [one for one in requests if one.now > NOON]
    for condition in (nested(draw, iam) for _ in range(CONDITIONS)):
        try:
            granted = [one for one in requests if one.meets(condition)]
        except ApiError:
            counts["refused by Google's CEL"] += 1
            continue
        count(condition, len(granted), len(requests), counts)
        end, roles = cel.ends(condition), cel.grants_only(condition)
        names = cel.resources(condition)
        for one in granted:
            assert end is None or one.now <= end, (condition, one)
            assert roles is None or roles.issuperset(one.modified), (condition, one)
            name = one.resource.get("resource.name")
            assert names is None or any(fits(text, name) for text in names), (condition, one)
        if cel.always(condition, since=NOON):
            assert set(map(id, later)) <= set(map(id, granted)), condition
        if granted:
            counts["ends"] += all(one.now < NOON + timedelta(hours=1.5) for one in granted)
            counts["ends, and said so"] += end is not None
            counts["no owner"] += all("roles/owner" not in one.modified for one in granted)
            counts["no owner, and said so"] += roles is not None
            counts["some resources"] += all(
                one.resource.get("resource.name") in BUCKETS for one in granted
            )
            counts["some resources, and said so"] += names is not None
    show(f"conditions of grants: {dict(counts)}")
    assert counts["refused by Google's CEL"] < CONDITIONS / 10
    for said in ("ends", "no owner", "some resources"):
        assert counts[f"{said}, and said so"] > 0.7 * counts[said] > 40, said


def test_a_pin_is_seen_beside_any_other_condition() -> None:
    draw = Random(16)
    for _ in range(200):
        pin = f"assertion.repository == {literal(draw, ['octo/a'])}"
        other = f"({nested(draw, federation, 3)})"
        condition = draw.choice([f"{pin} && {other}", f"{other} && {pin}", f"{other}?{pin}:false"])
        if not refused(condition):
            found = cel.pinned(condition, {"assertion.repository"})
            assert found is not None and found <= {"octo/a"}, condition


def test_no_text_is_taken_for_another() -> None:
    """Quotes, escapes and comments, put together at random, on which two parsers might differ."""
    draw, texts, pinned = Random(16), 0, 0
    parts = [
        "r", "R", "b", "a", "'", '"', "'''", '"""', "\\", "\\\\", "\\'", '\\"', "\\x61", "\\141",
        " ", "//", "\n", " || true", " || 'a' == ", " == assertion.repository",
    ]  # fmt: skip
    for _ in range(1500):
        junk = "".join(draw.choice(parts) for _ in range(draw.randrange(1, 6)))
        quote = draw.choice(["'", '"', "r'", "'''"])
        condition = f"assertion.repository == {quote}{junk}{quote[-3:].strip('r')}"
        if refused(condition):
            continue
        texts += 1
        found = cel.pinned(condition, {"assertion.repository"})
        pinned += found is not None
        assert found is None or not accepts(condition, {"repository": "mallory/x"}, {}), condition
        for value in found or ():
            assert accepts(condition, {"repository": value}, {}), condition
    assert pinned > 0.5 * texts > 100, (pinned, texts)
