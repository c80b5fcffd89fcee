"""What GoogleSQL's functions answer here: what Google's function reference says they answer.

docs bigquery/docs/reference/standard-sql; where DuckDB answers otherwise, the case is there for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest

from simulator.api.errors import ApiError
from simulator.services.bigquery import functions
from simulator.services.bigquery.engine import answer
from simulator.services.bigquery.sql import Compiler, Relation

# Each with an expression, its type and what it is.
CASES: list[tuple[str, str, Any]] = [
    # numbers
    ("1", "INTEGER", 1),
    ("1.5", "FLOAT", 1.5),
    ("0.1 + 0.2", "FLOAT", 0.1 + 0.2),
    ("2147483647 + 1", "INTEGER", 2147483648),
    ("3000000000 * 2 - 1", "INTEGER", 5999999999),
    ("7 / 2", "FLOAT", 3.5),
    ("DIV(-7, 2)", "INTEGER", -3),
    ("MOD(-7, 3)", "INTEGER", -1),
    ("SAFE_DIVIDE(1, 0)", "FLOAT", None),
    ("SAFE_DIVIDE(1, 4)", "FLOAT", 0.25),
    ("-(5)", "INTEGER", -5),
    ("ABS(-3)", "INTEGER", 3),
    ("SIGN(-2.5)", "FLOAT", -1.0),
    ("ROUND(2.5)", "FLOAT", 3.0),
    ("ROUND(-2.5)", "FLOAT", -3.0),
    ("ROUND(7)", "FLOAT", 7.0),
    ("ROUND(3.14159, 2)", "FLOAT", 3.14),
    ("CEIL(1.2)", "FLOAT", 2.0),
    ("FLOOR(-1.2)", "FLOAT", -2.0),
    ("TRUNC(1.7)", "FLOAT", 1.0),
    ("SQRT(9)", "FLOAT", 3.0),
    ("POW(2, 10)", "FLOAT", 1024.0),
    ("EXP(0)", "FLOAT", 1.0),
    ("LN(1)", "FLOAT", 0.0),
    ("LOG(100, 10)", "FLOAT", 2.0),
    ("LOG10(1000)", "FLOAT", 3.0),
    ("IS_NAN(CAST('NaN' AS FLOAT64))", "BOOLEAN", True),
    ("IS_INF(CAST('inf' AS FLOAT64))", "BOOLEAN", True),
    ("5 & 4", "INTEGER", 4),
    ("5 | 2", "INTEGER", 7),
    ("5 ^ 1", "INTEGER", 4),
    ("NUMERIC '1.50' * 2", "NUMERIC", Decimal(3)),
    ("GREATEST(1, 3, 2)", "INTEGER", 3),
    ("GREATEST(1, NULL)", "INTEGER", None),
    ("LEAST(2, 1)", "INTEGER", 1),
    # conditions
    ("IF(1 > 2, 'a', 'b')", "STRING", "b"),
    ("CASE WHEN FALSE THEN 1 END", "INTEGER", None),
    ("CASE 2 WHEN 1 THEN 'one' ELSE 'more' END", "STRING", "more"),
    ("COALESCE(NULL, 2)", "INTEGER", 2),
    ("IFNULL(NULL, 'x')", "STRING", "x"),
    ("NULLIF(1, 1)", "INTEGER", None),
    ("1 IN (1, 2)", "BOOLEAN", True),
    ("3 IN UNNEST([1, 2])", "BOOLEAN", False),
    ("1 BETWEEN 1 AND 2 AND NOT FALSE", "BOOLEAN", True),
    ("NULL IS NOT DISTINCT FROM NULL", "BOOLEAN", True),
    ("1 IS DISTINCT FROM 2", "BOOLEAN", True),
    ("NULL OR TRUE", "BOOLEAN", True),
    # texts
    ("CONCAT('a', 'b', 'c')", "STRING", "abc"),
    ("CONCAT('a', NULL)", "STRING", None),
    ("'a' || 'b'", "STRING", "ab"),
    ("SUBSTR('apple', 2)", "STRING", "pple"),
    ("SUBSTR('apple', 2, 2)", "STRING", "pp"),
    ("SUBSTR('apple', 0, 2)", "STRING", "ap"),
    ("SUBSTR('apple', -2)", "STRING", "le"),
    ("SUBSTR('apple', -9, 2)", "STRING", "ap"),
    ("LENGTH('мир')", "INTEGER", 3),
    ("UPPER('aé')", "STRING", "AÉ"),
    ("LOWER('AÉ')", "STRING", "aé"),
    ("TRIM('  a ')", "STRING", "a"),
    ("LTRIM('xxa', 'x')", "STRING", "a"),
    ("REPLACE('banana', 'an', '-')", "STRING", "b--a"),
    ("REPEAT('ab', 2)", "STRING", "abab"),
    ("REVERSE('abc')", "STRING", "cba"),
    ("STRPOS('foo@bar', '@')", "INTEGER", 4),
    ("STARTS_WITH('bar', 'b')", "BOOLEAN", True),
    ("ENDS_WITH('bar', 'b')", "BOOLEAN", False),
    ("SPLIT('a,b')", "STRING[]", ["a", "b"]),
    ("SPLIT('a-b', '-')", "STRING[]", ["a", "b"]),
    ("REGEXP_CONTAINS('foo@example.com', r'@[a-z]+\\.com')", "BOOLEAN", True),
    ("REGEXP_EXTRACT('foo@example.com', r'^[a-z]+')", "STRING", "foo"),
    ("REGEXP_EXTRACT('foo@example.com', r'@(.+)')", "STRING", "example.com"),
    ("REGEXP_EXTRACT('foo', 'x')", "STRING", None),
    ("REGEXP_REPLACE('aab', 'a', 'c')", "STRING", "ccb"),
    (r"REGEXP_REPLACE('x1', r'x(\d)', r'\1y')", "STRING", "1y"),
    (r"'50%' LIKE '50\\%'", "BOOLEAN", True),
    (r"'505' LIKE '50\\%'", "BOOLEAN", False),
    ("'abc' LIKE 'a_c'", "BOOLEAN", True),
    # arrays and structs
    ("[1, 2]", "INTEGER[]", [1, 2]),
    ("[10, 20][OFFSET(1)]", "INTEGER", 20),
    ("[10, 20][ORDINAL(1)]", "INTEGER", 10),
    ("[10, 20][SAFE_OFFSET(5)]", "INTEGER", None),
    ("[10, 20][SAFE_ORDINAL(2)]", "INTEGER", 20),
    ("ARRAY_LENGTH([1, 2])", "INTEGER", 2),
    ("ARRAY_CONCAT([1], [2, 3])", "INTEGER[]", [1, 2, 3]),
    ("ARRAY_REVERSE([1, 2])", "INTEGER[]", [2, 1]),
    ("ARRAY_TO_STRING(['a', NULL, 'b'], '-')", "STRING", "a-b"),
    ("ARRAY(SELECT x * 2 FROM UNNEST([3, 1]) AS x ORDER BY x)", "INTEGER[]", [2, 6]),
    ("(SELECT SUM(x * o) FROM UNNEST([5, 7]) AS x WITH OFFSET AS o)", "INTEGER", 7),
    ("STRUCT(1 AS a, 'x' AS b)", "RECORD", {"a": 1, "b": "x"}),
    ("STRUCT(1 AS a).a", "INTEGER", 1),
    ("EXISTS(SELECT 1 FROM UNNEST([1]) AS x WHERE x > 1)", "BOOLEAN", False),
    # JSON
    ("JSON_VALUE('{\"a\": {\"b\": 1}}', '$.a.b')", "STRING", "1"),
    ("JSON_VALUE('{\"a\": {\"b\": 1}}', '$.a')", "STRING", None),
    ("JSON_VALUE('{\"a\": null}', '$.a')", "STRING", None),
    ("JSON_VALUE('no json', '$.a')", "STRING", None),
    ("JSON_VALUE('[5, 6]', '$[1]')", "STRING", "6"),
    ("JSON_EXTRACT_SCALAR('{\"a\": \"x\"}', '$.a')", "STRING", "x"),
    ("JSON_QUERY('{\"a\": [1,2]}', '$.a')", "STRING", "[1,2]"),
    ("JSON_QUERY('{\"a\": null}', '$.a')", "STRING", None),
    ("JSON_EXTRACT_ARRAY('[1,{\"a\":2}]')", "STRING[]", ["1", '{"a":2}']),
    ("JSON_VALUE_ARRAY('[\"a\",\"b\"]')", "STRING[]", ["a", "b"]),
    ("CAST(JSON_VALUE('{\"risk\": 0.5}', '$.risk') AS FLOAT64)", "FLOAT", 0.5),
    # casts
    ("CAST(2.5 AS INT64)", "INTEGER", 3),
    ("CAST(-1.5 AS INT64)", "INTEGER", -2),
    ("CAST('12' AS INT64)", "INTEGER", 12),
    ("SAFE_CAST('x' AS INT64)", "INTEGER", None),
    ("SAFE_CAST('1.5' AS INT64)", "INTEGER", None),
    ("SAFE_CAST('yes' AS BOOL)", "BOOLEAN", None),
    ("CAST('TRUE' AS BOOL)", "BOOLEAN", True),
    ("CAST(1.0 AS STRING)", "STRING", "1"),
    ("CAST(0.1 AS STRING)", "STRING", "0.1"),
    ("CAST(1e16 AS STRING)", "STRING", "1e+16"),
    ("CAST(TRUE AS STRING)", "STRING", "true"),
    ("CAST(DATE '2026-01-02' AS STRING)", "STRING", "2026-01-02"),
    ("CAST(TIMESTAMP '2026-01-02 03:04:05.5+00' AS STRING)", "STRING", "2026-01-02 03:04:05.5+00"),
    ("CAST('1.25' AS FLOAT64)", "FLOAT", 1.25),
    # times
    ("DATE '2026-01-02'", "DATE", date(2026, 1, 2)),
    ("TIME '10:20:30'", "TIME", time(10, 20, 30)),
    ("DATETIME '2026-01-02T03:04:05'", "DATETIME", datetime(2026, 1, 2, 3, 4, 5)),
    ("TIMESTAMP '2026-01-02 03:04:05+01:00'", "TIMESTAMP", datetime(2026, 1, 2, 2, 4, 5)),
    ("TIMESTAMP('2026-01-02')", "TIMESTAMP", datetime(2026, 1, 2)),
    ("DATE(2026, 1, 2)", "DATE", date(2026, 1, 2)),
    ("DATE(TIMESTAMP '2026-01-02 23:59:59+00')", "DATE", date(2026, 1, 2)),
    ("DATETIME(TIMESTAMP '2026-01-02 03:04:05+00')", "DATETIME", datetime(2026, 1, 2, 3, 4, 5)),
    ("CURRENT_TIMESTAMP()", "TIMESTAMP", datetime(2026, 1, 1, 12)),
    ("CURRENT_DATE()", "DATE", date(2026, 1, 1)),
    ("EXTRACT(HOUR FROM TIMESTAMP '2026-01-02 03:04:05+00')", "INTEGER", 3),
    ("EXTRACT(DAYOFWEEK FROM DATE '2026-01-01')", "INTEGER", 5),
    ("EXTRACT(DATE FROM TIMESTAMP '2026-01-02 03:04:05+00')", "DATE", date(2026, 1, 2)),
    ("EXTRACT(ISOWEEK FROM DATE '2026-01-01')", "INTEGER", 1),
    ("TIMESTAMP_TRUNC(TIMESTAMP '2026-01-02 03:04:05+00', HOUR)", "TIMESTAMP",
     datetime(2026, 1, 2, 3)),
    ("DATE_TRUNC(DATE '2026-01-01', WEEK)", "DATE", date(2025, 12, 28)),
    ("DATE_TRUNC(DATE '2026-01-04', WEEK)", "DATE", date(2026, 1, 4)),
    ("DATE_TRUNC(DATE '2026-01-01', ISOWEEK)", "DATE", date(2025, 12, 29)),
    ("DATE_TRUNC(DATE '2026-01-15', MONTH)", "DATE", date(2026, 1, 1)),
    ("DATETIME_TRUNC(DATETIME '2026-01-02T03:04:05', DAY)", "DATETIME", datetime(2026, 1, 2)),
    ("TIMESTAMP_ADD(TIMESTAMP '2026-01-01 00:00:00+00', INTERVAL 90 MINUTE)", "TIMESTAMP",
     datetime(2026, 1, 1, 1, 30)),
    ("TIMESTAMP_SUB(TIMESTAMP '2026-01-01 00:00:00+00', INTERVAL 1 DAY)", "TIMESTAMP",
     datetime(2025, 12, 31)),
    ("DATE_ADD(DATE '2026-01-31', INTERVAL 1 MONTH)", "DATE", date(2026, 2, 28)),
    ("DATE_SUB(DATE '2026-01-01', INTERVAL 1 DAY)", "DATE", date(2025, 12, 31)),
    ("DATETIME_ADD(DATETIME '2026-01-01T00:00:00', INTERVAL 1 HOUR)", "DATETIME",
     datetime(2026, 1, 1, 1)),
    ("DATETIME_SUB(DATETIME '2026-01-01T00:00:00', INTERVAL 1 HOUR)", "DATETIME",
     datetime(2025, 12, 31, 23)),
    ("TIMESTAMP_DIFF(TIMESTAMP '2026-01-01 01:00:00', TIMESTAMP '2026-01-01 00:59:00', HOUR)",
     "INTEGER", 0),
    ("TIMESTAMP_DIFF(TIMESTAMP '2001-02-01 01:00:00', TIMESTAMP '2001-02-01 00:00:01', SECOND)",
     "INTEGER", 3599),
    ("DATE_DIFF(DATE '2026-03-01', DATE '2026-02-28', MONTH)", "INTEGER", 1),
    ("DATE_DIFF(DATE '2026-03-01', DATE '2026-02-28', DAY)", "INTEGER", 1),
    ("DATETIME_DIFF(DATETIME '2026-01-02T00:00:00', DATETIME '2026-01-01T23:00:00', DAY)",
     "INTEGER", 1),
    ("FORMAT_TIMESTAMP('%Y-%m-%d %H:%M', TIMESTAMP '2026-01-02 03:04:05+00')", "STRING",
     "2026-01-02 03:04"),
    ("FORMAT_DATE('%F', DATE '2026-01-02')", "STRING", "2026-01-02"),
    ("PARSE_DATE('%Y%m%d', '20260102')", "DATE", date(2026, 1, 2)),
    ("PARSE_TIMESTAMP('%F %T', '2026-01-02 03:04:05')", "TIMESTAMP", datetime(2026, 1, 2, 3, 4, 5)),
    ("TIMESTAMP_SECONDS(5)", "TIMESTAMP", datetime(1970, 1, 1, 0, 0, 5)),
    ("TIMESTAMP_MILLIS(1500)", "TIMESTAMP", datetime(1970, 1, 1, 0, 0, 1, 500_000)),
    ("TIMESTAMP_MICROS(5)", "TIMESTAMP", datetime(1970, 1, 1, 0, 0, 0, 5)),
    ("UNIX_SECONDS(TIMESTAMP '1970-01-01 00:00:01.8+00')", "INTEGER", 1),
    ("UNIX_MILLIS(TIMESTAMP '1970-01-01 00:00:01.8+00')", "INTEGER", 1800),
    ("UNIX_MICROS(TIMESTAMP '1970-01-01 00:00:01+00')", "INTEGER", 1_000_000),
    ("UNIX_DATE(DATE '1970-01-03')", "INTEGER", 2),
]  # fmt: skip

# Of the rows (1, 'a'), (2, NULL), (3, 'c'), (3, 'a'), which are x and s.
AGGREGATES: list[tuple[str, str, Any]] = [
    ("COUNT(*)", "INTEGER", 4),
    ("COUNT(s)", "INTEGER", 3),
    ("COUNT(DISTINCT s)", "INTEGER", 2),
    ("COUNTIF(x > 1)", "INTEGER", 3),
    ("SUM(x)", "INTEGER", 9),
    ("AVG(x)", "FLOAT", 2.25),
    ("MIN(s)", "STRING", "a"),
    ("MAX(x)", "INTEGER", 3),
    ("MAX_BY(x, s)", "INTEGER", 3),
    ("MIN_BY(s, x)", "STRING", "a"),
    ("LOGICAL_AND(x > 0)", "BOOLEAN", True),
    ("LOGICAL_OR(x > 3)", "BOOLEAN", False),
    ("STRING_AGG(s ORDER BY x, s)", "STRING", "a,a,c"),
    ("STRING_AGG(s, '-' ORDER BY s DESC)", "STRING", "c-a-a"),
    ("ARRAY_AGG(x ORDER BY x DESC)", "INTEGER[]", [3, 3, 2, 1]),
    ("ARRAY_AGG(s IGNORE NULLS ORDER BY x, s)", "STRING[]", ["a", "a", "c"]),
    ("ARRAY_AGG(x ORDER BY x LIMIT 2)", "INTEGER[]", [1, 2]),
    ("ARRAY_AGG(s IGNORE NULLS ORDER BY x LIMIT 1)[OFFSET(0)]", "STRING", "a"),
    ("STDDEV(x)", "FLOAT", pytest.approx(math.sqrt(2.75 / 3))),
    ("STDDEV_SAMP(x)", "FLOAT", pytest.approx(math.sqrt(2.75 / 3))),
    ("STDDEV_POP(x)", "FLOAT", pytest.approx(math.sqrt(2.75 / 4))),
    ("VARIANCE(x)", "FLOAT", pytest.approx(2.75 / 3)),
    ("VAR_POP(x)", "FLOAT", pytest.approx(2.75 / 4)),
    ("APPROX_COUNT_DISTINCT(s)", "INTEGER", 2),
    ("APPROX_QUANTILES(x, 2)", "INTEGER[]", [1, 2, 3]),
    ("APPROX_QUANTILES(x, 100)[OFFSET(95)]", "INTEGER", 3),
]
WINDOWS: list[tuple[str, str, list[Any]]] = [
    ("ROW_NUMBER() OVER (ORDER BY x, s)", "INTEGER", [1, 2, 3, 4]),
    ("RANK() OVER (ORDER BY x)", "INTEGER", [1, 2, 3, 3]),
    ("DENSE_RANK() OVER (ORDER BY x DESC)", "INTEGER", [3, 2, 1, 1]),
    ("PERCENT_RANK() OVER (ORDER BY x)", "FLOAT", [0, 1 / 3, 2 / 3, 2 / 3]),
    ("CUME_DIST() OVER (ORDER BY x)", "FLOAT", [0.25, 0.5, 1, 1]),
    ("NTILE(2) OVER (ORDER BY x, s)", "INTEGER", [1, 1, 2, 2]),
    ("LAG(x) OVER (ORDER BY x, s)", "INTEGER", [None, 1, 2, 3]),
    ("LEAD(x, 1, 0) OVER (ORDER BY x, s)", "INTEGER", [2, 3, 3, 0]),
    ("FIRST_VALUE(s) OVER (ORDER BY x DESC, s)", "STRING", ["a"] * 4),
    ("LAST_VALUE(s IGNORE NULLS) OVER (ORDER BY x, s)", "STRING", ["a", "a", "a", "c"]),
    ("LAST_VALUE(s RESPECT NULLS) OVER (ORDER BY x, s)", "STRING", ["a", None, "a", "c"]),
    ("NTH_VALUE(x, 2) OVER (ORDER BY x, s)", "INTEGER", [None, 2, 2, 2]),
    ("SUM(x) OVER (ORDER BY x, s ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)", "INTEGER",
     [1, 3, 5, 6]),
    ("PERCENTILE_CONT(x, 0.5) OVER ()", "FLOAT", [2.5] * 4),
    ("PERCENTILE_DISC(x, 0.5) OVER ()", "INTEGER", [2] * 4),
]  # fmt: skip
WRONG: list[tuple[str, str]] = [
    ("1 / 0", "division by zero: 1 / 0"),
    ("MOD(1, 0)", "[Dd]ivision by zero"),
    ("9223372036854775807 + 1", "[Oo]verflow"),
    ("SQRT(-1)", "Argument to SQRT cannot be negative"),
    ("LN(0)", "Floating point error"),
    ("LOG10(-1)", "Floating point error"),
    ("EXP(1000)", "Floating point error"),
    ("POW(10, 400)", "Floating point error"),
    ("CAST('1.5' AS INT64)", "Bad int64 value: 1.5"),
    ("CAST('yes' AS BOOL)", "Bad bool value: yes"),
    ("[1][OFFSET(1)]", "Array index 1 is out of bounds"),
    ("[1][ORDINAL(0)]", "Array index -1 is out of bounds"),
    ("SUBSTR('a', 1, -1)", "cannot be negative"),
    ("CONCAT('a', 1)", "No matching signature for function CONCAT"),
    ("'a' + 1", r"No matching signature for operator \+"),
    ("'1' = 1", "No matching signature for operator = for argument types: STRING, INT64"),
    ("TRUE = 1", "BOOL, INT64"),
    ("DATE '2026-01-01' < CURRENT_TIMESTAMP()", "DATE, TIMESTAMP"),
    ("[NULL, 1]", "Array cannot have a null element"),
]
# What DuckDB would answer, but not as BigQuery does, or not for certain.
REFUSED: list[tuple[str, str]] = [
    ("FORMAT('%d', 1)", "FORMAT"),
    ("INITCAP('a b')", "INITCAP"),
    ("RAND()", "RAND"),
    ("GENERATE_UUID()", "UUID"),
    ("SAFE_ADD(1, 2)", "SAFE_ADD|SafeAdd"),
    ("IEEE_DIVIDE(1, 0)", "IEEE_DIVIDE"),
    ("EXTRACT(WEEK FROM CURRENT_DATE())", r"EXTRACT\(WEEK\)"),
    ("EXTRACT(MICROSECOND FROM CURRENT_TIMESTAMP())", "MICROSECOND"),
    ("DATE_DIFF(CURRENT_DATE(), CURRENT_DATE(), WEEK)", "WEEK"),
    ("TIMESTAMP_TRUNC(CURRENT_TIMESTAMP(), DAY, 'Asia/Tokyo')", "a time zone"),
    ("FORMAT_DATE('%U', CURRENT_DATE())", "the format %U"),
    ("CAST(b'a' AS STRING)", "BYTES|ByteString"),
    ("NUMERIC '1' / 3", "a division of NUMERIC"),
    ("JSON_VALUE('{}', '$..a')", "JSONPath"),
    ("(SELECT AS STRUCT 1 AS a)", "SELECT AS STRUCT"),
]


@dataclass
class Nothing:
    """A cloud without tables."""

    asked: list[str] = field(default_factory=list)

    def find(self, name: str, view: str) -> Relation:
        raise AssertionError(name)


def run(sent: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    query = Compiler(Nothing(), "p", "2026-01-01T12:00:00Z").compile(sent)
    found = answer(query, lambda source: [], 10)
    kinds = [
        column["type"] + ("[]" if column["mode"] == "REPEATED" else "") for column in found.columns
    ]
    return kinds, found.rows


def plain(value: Any) -> Any:
    """Timestamps without their zone, which is UTC."""
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC).replace(tzinfo=None)
    return value


@pytest.mark.parametrize(("expression", "kind", "expected"), CASES)
def test_functions(expression: str, kind: str, expected: Any) -> None:
    kinds, rows = run(f"SELECT {expression} AS it")
    assert (kinds, plain(rows[0][0])) == ([kind], expected)


ROWS = (
    "SELECT 1 AS x, 'a' AS s UNION ALL SELECT 2, NULL UNION ALL SELECT 3, 'c' UNION ALL "
    "SELECT 3, 'a'"
)


@pytest.mark.parametrize(("expression", "kind", "expected"), AGGREGATES)
def test_aggregates(expression: str, kind: str, expected: Any) -> None:
    assert run(f"SELECT {expression} AS it FROM ({ROWS})") == ([kind], [(expected,)])


@pytest.mark.parametrize(("expression", "kind", "expected"), WINDOWS)
def test_windows(expression: str, kind: str, expected: list[Any]) -> None:
    sent = f"WITH t AS ({ROWS}), w AS (SELECT {expression} AS it, x, s FROM t) "
    kinds, rows = run(sent + "SELECT it FROM w ORDER BY x, s")
    assert kinds == [kind]
    assert [value for (value,) in rows] == pytest.approx(expected)


@pytest.mark.parametrize(("expression", "message"), WRONG)
def test_what_bigquery_refuses_is_refused(expression: str, message: str) -> None:
    with pytest.raises(ApiError, match=message) as caught:
        run(f"SELECT {expression}")
    assert (caught.value.status, caught.value.legacy) == (400, "invalidQuery")


@pytest.mark.parametrize(("expression", "message"), REFUSED)
def test_what_would_be_answered_otherwise_is_not_run(expression: str, message: str) -> None:
    with pytest.raises(ApiError, match=message) as caught:
        run(f"SELECT {expression}")
    assert caught.value.status == 501


def test_order_puts_null_where_bigquery_does() -> None:
    """First when ascending, last when descending."""
    both = [run(f"SELECT s FROM ({ROWS}) ORDER BY s {way}")[1] for way in ("ASC", "DESC")]
    assert both == [[(None,), ("a",), ("a",), ("c",)], [("c",), ("a",), ("a",), (None,)]]


def test_sets_of_rows() -> None:
    assert run("SELECT 1 AS a UNION DISTINCT SELECT 1")[1] == [(1,)]
    assert run("SELECT 1 AS a EXCEPT DISTINCT SELECT 1")[1] == []
    assert run("SELECT 1 AS a INTERSECT DISTINCT SELECT 1")[1] == [(1,)]


def test_each_function_that_is_run_is_tried_here() -> None:
    """By class of sqlglot's, so that none is in the tables without a case."""
    import sqlglot

    tried = set()
    sent = [case[0] for cases in (CASES, AGGREGATES, WINDOWS) for case in cases]
    for expression in [*sent, "ANY_VALUE(x)", "x = 1 AND x >= 1 AND x <= 1 AND x < 1 AND x <> 1"]:
        tree = sqlglot.parse_one(f"SELECT {expression}", dialect="bigquery")
        tried |= {type(node).__name__ for node in tree.walk()}
    run_here = {*functions.AS_THEY_ARE.split(), *functions.REWRITES}
    assert run_here - tried == set()
