"""The Logging query language on hand-made entries."""

from __future__ import annotations

import pytest

from simulator.api.errors import ApiError
from simulator.core.clock import nanoseconds
from simulator.services.logging.query import compiled

ENTRY = {
    "logName": "projects/p/logs/cloudaudit.googleapis.com%2Factivity",
    "severity": "ERROR",
    "timestamp": "2026-01-01T12:00:00.000000001Z",
    "textPayload": "Pump 7 failed",
    "labels": {"team": "iot", "a.b/c": "x"},
    "jsonPayload": {"size": 12, "ok": True, "ratio": 0.5, "gone": None},
    "protoPayload": {
        "@type": "type.googleapis.com/google.cloud[Audit].AuditLog",
        "status": {"code": 7},
        "serviceName": "aiplatform.googleapis.com",
        "authorizationInfo": [
            {"permission": "aiplatform.endpoints.create", "granted": False},
            {"permission": "iam.serviceAccounts.actAs", "granted": True},
        ],
    },
}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "protoPayload.status.code=7",
        'protoPayload.status.code="7"',
        "protoPayload.status.code=(7 OR 3 OR 8 OR 9)",
        "protoPayload.status.code!=5",
        "severity=ERROR",
        "severity>=WARNING",
        "severity<CRITICAL",
        'severity="error"',
        "severity>=500",
        'timestamp>="2026-01-01T12:00:00Z"',
        'timestamp>"2026-01-01T13:00:00.000000000+01:00"',
        'timestamp<"2026-01-02"',
        'textPayload:"pump"',
        'textPayload="PUMP 7 FAILED"',
        'textPayload=~"^Pump \\d"',
        'textPayload!~"^pump"',
        "labels.team=iot",
        'labels."a.b/c"=x',
        "labels.team:*",
        "labels:team",
        "jsonPayload.size>=12 jsonPayload.size<12.5",
        "jsonPayload.ratio=0.5",
        "jsonPayload.ok=true",
        "jsonPayload.gone=NULL_VALUE",
        'protoPayload."@type":"AuditLog"',
        'protoPayload.authorizationInfo.permission="aiplatform.endpoints.create"',
        "protoPayload.authorizationInfo.granted=false",
        'log_id("cloudaudit.googleapis.com/activity")',
        'LOG_ID("CloudAudit.googleapis.com%2Factivity") AND NOT LOG_ID("activity")',
        "NOT severity=INFO",
        "-severity=INFO",
        "aiplatform",
        '"Pump 7" -- a comment\nAND severity>INFO',
        "NOT jsonPayload.missing=1",
        # OR binds tighter than AND.
        "severity=INFO OR severity=ERROR AND labels.team=iot",
        "severity=ERROR AND (labels.team=x OR (labels.team=iot AND NOT labels.team=y))",
        "labels.team=(iot AND NOT x)",
    ],
)
def test_it_matches(text: str) -> None:
    assert compiled(text)(ENTRY)


@pytest.mark.parametrize(
    "text",
    [
        "protoPayload.status.code=8",
        "protoPayload.status.code=(3 OR 8)",
        "severity>ERROR",
        "severity=INFO OR severity=ERROR AND labels.team=other",
        'timestamp<"2026-01-01T12:00:00Z"',
        'textPayload=~"^pump"',
        'textPayload="Pump"',
        "labels.team!=iot",
        "NOT labels.team=iot",
        # Every comparison on a missing field is false.
        "jsonPayload.missing=1",
        "jsonPayload.missing!=1",
        "labels.other:*",
        "labels:other",
        'protoPayload.authorizationInfo.permission="aiplatform.endpoints.get"',
        "jsonPayload.ok=false",
        "jsonPayload.size=NULL_VALUE",
        '"no such text"',
        'log_id("cloudaudit.googleapis.com/data_access")',
        'NOT LOG_ID("cloudaudit.googleapis.com/activity")',
    ],
)
def test_it_does_not_match(text: str) -> None:
    assert not compiled(text)(ENTRY)


@pytest.mark.parametrize(
    "text", ["sample(insertId, 0.5)", 'source("folders/1")', 'ip_in_net(jsonPayload.ip, "10.0/8")']
)
def test_a_function_of_the_language_that_is_not_evaluated_says_so(text: str) -> None:
    with pytest.raises(ApiError) as error:
        compiled(text)
    assert (error.value.status, "is not simulated" in error.value.message) == (501, True)


def test_an_entry_without_a_severity_has_the_default_one() -> None:
    assert compiled("severity=DEFAULT")({"textPayload": "x"})
    assert not compiled("severity>=INFO")({"textPayload": "x"})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("severity=", "unexpected end at line 1, column 10"),
        ("insertId = abc:def", "token ':', at line 1, column 15"),
        ("severity=ERROR\nAND (labels.team=x", "unexpected end at line 2, column 19"),
        ("severity=ERROR)", "token ')', at line 1, column 15"),
        ("severity=ERROR AND OR", "token 'OR', at line 1, column 20"),
        ("half(insertId)", "the function half is not supported at line 1, column 1"),
        ('logName=log_id("x")', "the function log_id is not supported at line 1, column 9"),
        ("severity=LOUD", "'LOUD' is no severity at line 1, column 10"),
        ("nothing.here=1", "'nothing' is no field of a LogEntry at line 1, column 1"),
        ("textPayload=~pump", "must be in double quotes at line 1, column 14"),
        ('textPayload=~"("', "at line 1, column 14"),
        ('timestamp>"yesterday"', "is no time of the form 2026-01-31T08:00:00Z at line 1"),
        ('textPayload="open', "token '\"', at line 1, column 13"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(ApiError) as error:
        compiled(text)
    assert (error.value.status, error.value.reason) == (400, "INVALID_ARGUMENT")
    assert complaint in error.value.message


def test_times_are_read_to_the_nanosecond() -> None:
    assert nanoseconds("1970-01-01T00:00:01.5Z") == 1_500_000_000
    assert nanoseconds("2026-01-01T00:00:00+01:00") == nanoseconds("2025-12-31T23:00:00Z")
    with pytest.raises(ValueError, match="is no time"):
        nanoseconds("12:00")
