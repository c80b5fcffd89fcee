"""What of GoogleSQL is run, and how it is said to DuckDB.

sqlglot translates words; what a function answers for NULL, 0, half a number or a missing element
is not its business. So a query is run only if all that is in it stands in a table here: in
`AS_THEY_ARE` what means the same in both dialects as sqlglot writes it, in `REWRITES` what has to
be said otherwise. Answers are those of Google's function reference (docs bigquery/docs/reference/
standard-sql), which test_bigquery_functions.py holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from sqlglot import exp

from simulator.api.errors import ApiError, invalid, unimplemented

Node = exp.Expr

# Run once for each engine; their names are no GoogleSQL.
MACROS = """
CREATE MACRO bq_divide(a, b) AS
  CASE WHEN b = 0 THEN error('division by zero: ' || a || ' / ' || b) ELSE a / b END;
CREATE MACRO bq_safe_divide(a, b) AS CASE WHEN b = 0 THEN NULL ELSE a / b END;
CREATE MACRO bq_at(list, i) AS CASE
  WHEN list IS NULL OR i IS NULL THEN NULL
  WHEN i < 0 OR i >= len(list) THEN error('Array index ' || i || ' is out of bounds')
  ELSE list[i + 1] END;
CREATE MACRO bq_safe_at(list, i) AS CASE WHEN i < 0 THEN NULL ELSE list[i + 1] END;
CREATE MACRO bq_number(x) AS CASE
  WHEN isfinite(x) THEN x ELSE error('Floating point error in function') END;
CREATE MACRO bq_log(x) AS CASE
  WHEN x <= 0 THEN error('Floating point error in function: LN(' || x || ')') ELSE ln(x) END;
CREATE MACRO bq_log_base(x, base) AS bq_log(x) / bq_log(base);
CREATE MACRO bq_log10(x) AS CASE
  WHEN x <= 0 THEN error('Floating point error in function: LOG10(' || x || ')') ELSE log10(x) END;
CREATE MACRO bq_sqrt(x) AS CASE
  WHEN x < 0 THEN error('Argument to SQRT cannot be negative') ELSE sqrt(x) END;
CREATE MACRO bq_text_of_float(x) AS CASE
  WHEN isnan(x) THEN 'NaN'
  WHEN abs(x) >= 1e15 AND abs(x) < 1e16
  THEN error('CAST to STRING of a FLOAT64 of 16 digits is not simulated.')
  ELSE regexp_replace(CAST(x AS VARCHAR), '\\.0$', '') END;
CREATE MACRO bq_int_of_text(s) AS CASE
  WHEN s IS NULL THEN NULL
  WHEN regexp_full_match(s, '\\s*[+-]?[0-9]+\\s*') THEN CAST(s AS BIGINT)
  ELSE error('Bad int64 value: ' || s) END;
CREATE MACRO bq_try_int_of_text(s) AS CASE
  WHEN regexp_full_match(s, '\\s*[+-]?[0-9]+\\s*') THEN TRY_CAST(s AS BIGINT) END;
CREATE MACRO bq_bool_of_text(s) AS CASE
  WHEN s IS NULL THEN NULL
  WHEN lower(s) IN ('true', 'false') THEN lower(s) = 'true'
  ELSE error('Bad bool value: ' || s) END;
CREATE MACRO bq_try_bool_of_text(s) AS CASE
  WHEN lower(s) IN ('true', 'false') THEN lower(s) = 'true' END;
CREATE MACRO bq_start(s, i) AS CASE
  WHEN i > 0 THEN i WHEN i = 0 OR -i > length(s) THEN 1 ELSE length(s) + i + 1 END;
CREATE MACRO bq_substr(s, i) AS substring(s, bq_start(s, i));
CREATE MACRO bq_substr_length(s, i, n) AS CASE
  WHEN n < 0 THEN error('Third argument in SUBSTR() cannot be negative')
  ELSE substring(s, bq_start(s, i), n) END;
CREATE MACRO bq_json(j) AS CASE WHEN json_valid(j) THEN CAST(j AS JSON) END;
CREATE MACRO bq_json_value(j, path) AS CASE
  WHEN json_type(bq_json(j), path) IN ('OBJECT', 'ARRAY') THEN NULL
  ELSE json_extract_string(bq_json(j), path) END;
CREATE MACRO bq_json_query(j, path) AS CASE
  WHEN json_type(bq_json(j), path) = 'NULL' THEN NULL
  ELSE CAST(json_extract(bq_json(j), path) AS VARCHAR) END;
CREATE MACRO bq_json_array(j, path) AS CASE
  WHEN json_type(bq_json(j), path) = 'ARRAY'
  THEN CAST(json_extract(bq_json(j), path) AS JSON[]) END;
CREATE MACRO bq_json_query_array(j, path) AS CAST(bq_json_array(j, path) AS VARCHAR[]);
CREATE MACRO bq_json_value_array(j, path) AS
  list_transform(bq_json_array(j, path), lambda x: json_extract_string(x, '$'));
CREATE MACRO bq_array_to_string(list, gap) AS
  CASE WHEN list IS NULL OR gap IS NULL THEN NULL
  ELSE coalesce(array_to_string(list_filter(list, lambda x: x IS NOT NULL), gap), '') END;
"""

# What a query is built of, and functions that mean the same in both.
STRUCTURE = """
    Alias And Array Between Boolean Case Column CTE ColumnDef DataType DataTypeParam Distinct Dot
    Except Exists From Group Having HavingMax Identifier If In Intersect Interval Is Join Lambda
    Limit Literal Not Null Offset Or Order Ordered Paren PropertyEQ Qualify Select Star Subquery
    Table TableAlias Tuple Union Unnest Var Where Window WindowSpec With
"""
AS_THEY_ARE = """
    Abs Add AnyValue ArgMax ArgMin ArrayConcat ArrayReverse ArraySize Avg BitwiseAnd BitwiseOr
    BitwiseXor Coalesce Count CountIf CumeDist DateFromParts DenseRank EQ
    EndsWith FirstValue GT GTE Greatest GroupConcat IgnoreNulls IsInf IsNan LT LTE Lag LastValue
    Lead Least Length LogicalAnd LogicalOr Lower Max Min Mod Mul NEQ Neg NthValue Ntile NullSafeEQ
    NullSafeNEQ Nullif PercentRank PercentileCont PercentileDisc Rank RegexpExtract RegexpLike
    RegexpReplace Repeat Replace RespectNulls Reverse RowNumber Sign Split StartsWith Stddev
    StddevPop StddevSamp StrPosition Sub Sum Trim UnixDate UnixMicros UnixMillis Upper Variance
    VariancePop
"""
FIXED_UNITS = ("MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY")
CALENDAR_UNITS = ("DAY", "WEEK", "ISOWEEK", "MONTH", "QUARTER", "YEAR")
PARTS = ("YEAR", "QUARTER", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "DAYOFYEAR", "DAYOFWEEK")
PATH = re.compile(r"\$(\.\w+|\[\d+\]|\.\"[^\"]*\")*")
# Format elements that mean the same to BigQuery and to strftime(3).
ELEMENTS = re.compile(r"(?:[^%]|%[YmdHMSFTjbBaAyp%I])*")


def refused(what: str) -> ApiError:
    """501: something of GoogleSQL that is not run here."""
    return unimplemented(f"{what} in a query")


def called(name: str, *arguments: Any) -> Node:
    return exp.Anonymous(this=name, expressions=[as_node(argument) for argument in arguments])


def as_node(value: Any) -> Node:
    if isinstance(value, exp.Expr):
        return value
    return exp.Literal.string(value) if isinstance(value, str) else exp.Literal.number(value)


def cast(node: Any, kind: str) -> Node:
    return exp.Cast(this=node, to=exp.DataType.build(kind, dialect="duckdb"))


def kind_of(node: Any) -> str:
    """The type that sqlglot has found for an expression, in its own words: BIGINT, TEXT, ARRAY…"""
    if isinstance(node, exp.Null):
        return "NULL"
    found = node.type
    return str(found.this.value) if found is not None else "UNKNOWN"


def _name(node: Node) -> str:
    return str(node.sql_name()) if isinstance(node, exp.Func) else type(node).__name__


def unit_of(node: Node, allowed: tuple[str, ...], what: str) -> str:
    unit = node.args.get("unit")
    name = unit.sql("bigquery").upper().strip("'") if unit is not None else "DAY"
    if name == "WEEK(MONDAY)":
        name = "ISOWEEK"
    if name not in allowed:
        raise refused(f"{what} by {name}")
    return name


def _no_zone(node: Node, what: str) -> None:
    zone = node.args.get("zone")
    if zone is not None and zone.name not in ("UTC", "Etc/UTC", "+00"):
        raise refused(f"a time zone in {what}")


def _bracket(node: Node) -> Node:
    if kind_of(node.this) != "ARRAY":
        raise refused(f"a subscript of {kind_of(node.this)}")
    (index,) = node.expressions
    if node.args.get("offset") == 1:
        index = exp.Sub(this=exp.Paren(this=index), expression=exp.Literal.number(1))
    return called("bq_safe_at" if node.args.get("safe") else "bq_at", node.this, index)


def _path(node: Node) -> str:
    path = node.expression
    text = path.sql("duckdb").strip("'") if path is not None else "$"
    if not PATH.fullmatch(text):
        raise refused(f"the JSON path {text}")
    return text


def _json(text: str, json: str = "") -> Callable[[Node], Node]:
    """`text` for JSON in a STRING, `json` for values of type JSON."""

    def rewrite(node: Node) -> Node:
        if kind_of(node.this) != "JSON":
            return called(text, node.this, _path(node))
        if not json:
            raise refused(f"{_name(node)} of JSON")
        return called(json, node.this, _path(node))

    return rewrite


def _cast(node: Node) -> Node:
    safe, source = isinstance(node, exp.TryCast), kind_of(node.this)
    if node.args.get("format"):
        raise refused("CAST with FORMAT")
    target = node.args["to"].this.value
    literal = isinstance(node.this, exp.Literal) and node.this.is_string
    name = "bq_try_{}" if safe else "bq_{}"
    if "BYTES" in (source, target) or "VARBINARY" in (source, target):
        if source != target:
            raise refused("CAST from or to BYTES")
    elif target == "TEXT" and source in ("DOUBLE", "FLOAT"):
        return called("bq_text_of_float", node.this)
    elif target == "TEXT" and source not in KNOWN_AS_TEXT:
        raise refused(f"CAST from {source} to STRING")
    elif target == "BIGINT" and (source in ("TEXT", "VARCHAR") or literal):
        return called(name.format("int_of_text"), node.this)
    elif target == "BIGINT" and source in ("DOUBLE", "FLOAT", "DECIMAL"):
        rounded = called("round", node.this)
        node.set("this", rounded)
    elif target == "BOOLEAN" and (source in ("TEXT", "VARCHAR") or literal):
        return called(name.format("bool_of_text"), node.this)
    return node


KNOWN_AS_TEXT = ("TEXT", "VARCHAR", "BIGINT", "INT", "BOOLEAN", "DATE", "DATETIME", "TIMESTAMP",
                 "TIMESTAMPTZ", "TIME", "NULL")  # fmt: skip


def _extract(node: Node) -> Node:
    part = node.this.name.upper()
    if part == "DATE":
        return cast(node.expression, "DATE")
    if part in ("ISOWEEK", "ISOYEAR"):
        return called("date_part", {"ISOWEEK": "week", "ISOYEAR": "isoyear"}[part], node.expression)
    if part not in PARTS:
        raise refused(f"EXTRACT({part})")
    found = called("date_part", part.lower(), node.expression)
    if part == "DAYOFWEEK":
        return exp.Paren(this=exp.Add(this=found, expression=exp.Literal.number(1)))
    return cast(found, "BIGINT")


def _trunc(kind: str) -> Callable[[Node], Node]:
    def rewrite(node: Node) -> Node:
        what = f"{kind}_TRUNC"
        _no_zone(node, what)
        units = CALENDAR_UNITS if kind == "DATE" else (*FIXED_UNITS, *CALENDAR_UNITS)
        unit, value = unit_of(node, units, what), node.this
        if unit == "WEEK":  # from Sunday; DuckDB's is from Monday
            day = exp.Interval(this=exp.Literal.string("1"), unit=exp.var("DAY"))
            later = exp.Paren(this=exp.Add(this=value, expression=day))
            monday = called("date_trunc", "week", later)
            found: Node = exp.Paren(this=exp.Sub(this=monday, expression=day.copy()))
        else:
            found = called("date_trunc", "week" if unit == "ISOWEEK" else unit.lower(), value)
        return cast(found, {"DATE": "DATE", "TIMESTAMP": "TIMESTAMPTZ"}.get(kind, "TIMESTAMP"))

    return rewrite


def _timestamp_diff(node: Node) -> Node:
    """Whole units that have passed, not boundaries."""
    unit = unit_of(node, FIXED_UNITS, "TIMESTAMP_DIFF")
    return called("date_sub", unit.lower(), node.expression, node.this)


def _date_diff(node: Node) -> Node:
    unit = unit_of(node, (*CALENDAR_UNITS, *FIXED_UNITS), "a difference of dates")
    if unit == "WEEK":
        raise refused("a difference of dates by WEEK")
    name = "week" if unit == "ISOWEEK" else unit.lower()
    return called("date_diff", name, node.expression, node.this)


def _moved(kind: str) -> Callable[[Node], Node]:
    """DATE_ADD and the like; DuckDB makes a TIMESTAMP of a DATE."""

    def rewrite(node: Node) -> Node:
        units = FIXED_UNITS if kind == "TIMESTAMPTZ" else (*FIXED_UNITS, *CALENDAR_UNITS)
        unit_of(node, tuple(unit for unit in units if unit != "ISOWEEK"), _name(node))
        step = exp.Interval(this=node.expression, unit=node.args.get("unit") or exp.var("DAY"))
        operator = exp.Sub if isinstance(node, SUBTRACTIONS) else exp.Add
        return cast(exp.Paren(this=operator(this=node.this, expression=step)), kind)

    return rewrite


SUBTRACTIONS = (exp.DateSub, exp.DatetimeSub, exp.TimestampSub)


def _format_of(node: Node) -> str:
    text = str(node.args["format"].name)
    if not ELEMENTS.fullmatch(text):
        raise refused(f"the format {text}")
    return text.replace("%F", "%Y-%m-%d").replace("%T", "%H:%M:%S")


def _formatted(node: Node) -> Node:
    _no_zone(node, "a format of a time")
    value = node.this.this if isinstance(node.this, (*AS_TIMES, exp.TsOrDsToDate)) else node.this
    return called("strftime", cast(value, "TIMESTAMP"), _format_of(node))


AS_TIMES = (exp.TsOrDsToTimestamp, exp.TsOrDsToDatetime)


def _parsed(kind: str) -> Callable[[Node], Node]:
    def rewrite(node: Node) -> Node:
        _no_zone(node, "a format of a time")
        return cast(called("strptime", node.this, _format_of(node)), kind)

    return rewrite


def _from_unix(node: Node) -> Node:
    scale = node.args.get("scale")
    factor = {"0": 1_000_000, "3": 1000, "6": 1}[scale.name if scale is not None else "0"]
    micros = exp.Mul(this=cast(node.this, "BIGINT"), expression=exp.Literal.number(factor))
    return called("make_timestamptz", micros)


def _unix_seconds(node: Node) -> Node:
    return cast(called("floor", called("epoch", node.this)), "BIGINT")


def _constructed(kind: str) -> Callable[[Node], Node]:
    """DATE(x), TIMESTAMP(x) and the like of one argument, in UTC."""

    def rewrite(node: Node) -> Node:
        _no_zone(node, _name(node))
        if node.expressions:
            raise refused(f"{_name(node)} of several arguments")
        return cast(node.this, kind)

    return rewrite


def _aggregated(node: Node) -> Node:
    """ARRAY_AGG(x ORDER BY y LIMIT n) IGNORE NULLS in any combination."""
    ignoring = isinstance(node, exp.IgnoreNulls)
    if isinstance(node.parent, exp.IgnoreNulls):
        return node
    call = node.this if ignoring else node
    inner, count, order = call.this, None, None
    if isinstance(inner, exp.Limit):
        count, inner = inner.expression, inner.this
    if isinstance(inner, exp.Order):
        order, inner = inner, inner.this
    value = inner.expressions[0] if isinstance(inner, exp.Distinct) else inner
    if order is not None:
        order.set("this", inner)
    found: Node = exp.ArrayAgg(this=order if order is not None else inner)
    if ignoring:
        present = exp.Not(this=exp.Is(this=value.copy(), expression=exp.Null()))
        found = exp.Filter(this=found, expression=exp.Where(this=present))
    if count is not None:
        found = called("list_slice", found, exp.Literal.number(1), count)
    return found


def _ignoring(node: Node) -> Node:
    return _aggregated(node) if isinstance(node.this, exp.ArrayAgg) else node


def _quantiles(node: Node) -> Node:
    """Exact, as Google's are for few rows: the values at each n-th part."""
    parts = node.args.get("expression")
    if not isinstance(parts, exp.Literal) or isinstance(node.this, exp.Distinct):
        raise refused("APPROX_QUANTILES of this form")
    count = int(parts.name)
    at = [exp.Literal.number(f"{index / count!r}e0") for index in range(count + 1)]
    return called("quantile_disc", node.this, exp.Array(expressions=at))


def _joined(node: Node) -> Node:
    if isinstance(node.this, exp.Limit):
        raise refused("STRING_AGG with LIMIT")
    return node


def _like(node: Node) -> Node:
    """A backslash escapes in GoogleSQL; DuckDB has to be told."""
    return exp.Escape(this=node, expression=exp.Literal.string("\\"))


def _text(name: str) -> Callable[[Node], Node]:
    """Functions of text only; DuckDB would take anything."""

    def rewrite(node: Node) -> Node:
        operands = node.expressions or [node.this, node.expression]
        for operand in operands:
            kind = kind_of(operand)
            if kind not in (*TEXTS, "ARRAY", "UNKNOWN", "NULL"):
                raise mismatch(name, *map(kind_of, operands))
        return node

    return rewrite


TEXTS = ("TEXT", "VARCHAR", "CHAR")


def mismatch(name: str, *kinds: str) -> ApiError:
    """The words: lightdash/lightdash#14480, whose second half is left out."""
    listed = ", ".join(GOOGLES.get(kind, kind) for kind in kinds)
    return wrong(f"No matching signature for {name} for argument types: {listed}")


def wrong(message: str) -> ApiError:
    """400: a query that BigQuery would not run either."""
    error = invalid(message)
    error.legacy = "invalidQuery"
    return error


GOOGLES = {
    **{"BIGINT": "INT64", "INT": "INT64", "TEXT": "STRING", "VARCHAR": "STRING"},
    **{"DOUBLE": "FLOAT64", "BOOLEAN": "BOOL", "TIMESTAMPTZ": "TIMESTAMP", "TIMESTAMP": "DATETIME"},
    **{"DECIMAL": "NUMERIC", "VARBINARY": "BYTES"},
}


def _number(node: Node) -> Node:
    """1.5 is a FLOAT64 in GoogleSQL and a decimal in DuckDB."""
    if node.is_string or not re.search(r"[.eE]", node.name):
        return node
    text = node.name if re.search(r"[eE]", node.name) else f"{node.name}e0"
    return exp.Literal.number(text)


def _big(node: Node) -> Node:
    """An INT64, in arithmetic that DuckDB would do in 32 bits."""
    for key in ("this", "expression"):
        operand = node.args.get(key)
        if isinstance(operand, exp.Literal) and operand.name.isdigit() and not operand.is_string:
            node.set(key, cast(operand.copy(), "BIGINT"))
    return node


def _as_float(node: Node) -> Node:
    """FLOAT64 of an INT64, which DuckDB leaves an integer."""
    return cast(node, "DOUBLE") if kind_of(node.this) in ("BIGINT", "INT") else node


def _divided(name: str) -> Callable[[Node], Node]:
    def rewrite(node: Node) -> Node:
        operands = (node.this, node.expression)
        if "DECIMAL" in map(kind_of, operands):
            raise refused("a division of NUMERIC")
        return called(name, *(exp.Paren(this=operand) for operand in operands))

    return rewrite


def _single(name: str) -> Callable[[Node], Node]:
    return lambda node: called(name, node.this)


def _logarithm(node: Node) -> Node:
    if node.expression is None:
        return called("bq_log", node.this)
    if node.this.name == "10":
        return called("bq_log10", node.expression)
    return called("bq_log_base", node.expression, node.this)


def _substring(node: Node) -> Node:
    start, length = node.args["start"], node.args.get("length")
    if kind_of(node.this) not in TEXTS:
        raise mismatch("function SUBSTR", kind_of(node.this), "BIGINT")
    return (
        called("bq_substr", node.this, start)
        if length is None
        else called("bq_substr_length", node.this, start, length)
    )


def _struct_named(node: Node) -> Node:
    if any(not isinstance(part, (exp.PropertyEQ, exp.Column)) for part in node.expressions):
        raise refused("STRUCT with a part without a name")
    return node


REWRITES: Mapping[str, Callable[[Node], Node]] = {
    "Add": _big,
    "ApproxDistinct": lambda node: exp.Count(this=exp.Distinct(expressions=[node.this])),
    "ApproxQuantiles": _quantiles,
    "ArrayAgg": _aggregated,
    "ArrayToString": lambda node: called("bq_array_to_string", node.this, node.expression),
    "Bracket": _bracket,
    "Cast": _cast,
    "Ceil": _as_float,
    "Concat": _text("function CONCAT"),
    "DPipe": _text("operator ||"),
    "Date": _constructed("DATE"),
    "DateAdd": _moved("DATE"),
    "DateDiff": _date_diff,
    "DateSub": _moved("DATE"),
    "DateTrunc": _trunc("DATE"),
    "DatetimeAdd": _moved("TIMESTAMP"),
    "DatetimeDiff": _date_diff,
    "DatetimeSub": _moved("TIMESTAMP"),
    "DatetimeTrunc": _trunc("DATETIME"),
    "Div": _divided("bq_divide"),
    "Exp": lambda node: called("bq_number", exp.Exp(this=node.this)),
    "Extract": _extract,
    "Floor": _as_float,
    "GroupConcat": _joined,
    "IgnoreNulls": _ignoring,
    "IntDiv": _big,
    "JSONExtract": _json("bq_json_query", "json_extract"),
    "JSONExtractArray": _json("bq_json_query_array", "bq_json_array"),
    "JSONExtractScalar": _json("bq_json_value", "bq_json_value"),
    "JSONValueArray": _json("bq_json_value_array", "bq_json_value_array"),
    "Like": _like,
    "Literal": _number,
    "Ln": _single("bq_log"),
    "Log": _logarithm,
    "Mul": _big,
    "Pow": lambda node: called("bq_number", exp.Pow(this=node.this, expression=node.expression)),
    "Round": _as_float,
    "SafeDivide": _divided("bq_safe_divide"),
    "Sqrt": _single("bq_sqrt"),
    "StrToDate": _parsed("DATE"),
    "StrToTime": _parsed("TIMESTAMPTZ"),
    "Struct": _struct_named,
    "Sub": _big,
    "Substring": _substring,
    "TimeToStr": _formatted,
    "Timestamp": _constructed("TIMESTAMPTZ"),
    "TimestampAdd": _moved("TIMESTAMPTZ"),
    "TimestampDiff": _timestamp_diff,
    "TimestampSub": _moved("TIMESTAMPTZ"),
    "TimestampTrunc": _trunc("TIMESTAMP"),
    "Trunc": _as_float,
    "TryCast": _cast,
    "TsOrDsToDatetime": _constructed("TIMESTAMP"),
    "UnixSeconds": _unix_seconds,
    "UnixToTime": _from_unix,
}
# Seen before and inside what is rewritten, but said by that.
PARTS_OF_OTHERS = ("TsOrDsToTimestamp", "TsOrDsToDate", "WeekStart", "Filter", "JSONPath",
                   "JSONPathRoot", "JSONPathKey", "JSONPathSubscript")  # fmt: skip
KNOWN = frozenset([*STRUCTURE.split(), *AS_THEY_ARE.split(), *REWRITES, *PARTS_OF_OTHERS])


def check(tree: Node) -> None:
    """Raise for the first thing in a query that is not run here, by its name in GoogleSQL."""
    for node in tree.walk():
        name = type(node).__name__
        if name in KNOWN:
            continue
        if isinstance(node, exp.Anonymous):
            raise refused(f"the function {node.name.upper()}")
        if isinstance(node, exp.SafeFunc):
            raise refused("the prefix SAFE.")
        if isinstance(node, exp.TableColumn):
            raise refused("a table as a value")
        if isinstance(node, exp.Func):
            raise refused(f"the function {_name(node)}")
        raise refused(name)
