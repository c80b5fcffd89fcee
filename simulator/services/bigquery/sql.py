"""GoogleSQL to DuckDB's: tables found and views put in their place, names and types resolved.

sqlglot reads GoogleSQL, resolves names against the tables' columns and finds the types;
functions.py says what of it is run. Positions are told only where sqlglot knows them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import sqlglot
from sqlglot import exp
from sqlglot.errors import OptimizeError, ParseError, SqlglotError, TokenError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.pushdown_predicates import pushdown_predicates
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from simulator.services.bigquery import functions
from simulator.services.bigquery.functions import Node, kind_of, refused, wrong

Column = dict[str, Any]
# Of a schema -> GoogleSQL's, and DuckDB's name for it.
TYPES: Mapping[str, tuple[str, str]] = {
    "STRING": ("STRING", "VARCHAR"),
    "BYTES": ("BYTES", "BLOB"),
    "INTEGER": ("INT64", "BIGINT"),
    "INT64": ("INT64", "BIGINT"),
    "FLOAT": ("FLOAT64", "DOUBLE"),
    "FLOAT64": ("FLOAT64", "DOUBLE"),
    "NUMERIC": ("NUMERIC", "DECIMAL(38, 9)"),
    "BOOLEAN": ("BOOL", "BOOLEAN"),
    "BOOL": ("BOOL", "BOOLEAN"),
    "TIMESTAMP": ("TIMESTAMP", "TIMESTAMPTZ"),
    "DATE": ("DATE", "DATE"),
    "DATETIME": ("DATETIME", "TIMESTAMP"),
    "TIME": ("TIME", "TIME"),
    "JSON": ("JSON", "JSON"),
}
PSEUDO = ("_PARTITIONTIME", "_PARTITIONDATE", "_TABLE_SUFFIX", "_FILE_NAME", "_PARTITION_LOAD_TIME")
# How deep views may read views; the number and the words are inferred.
DEEPEST = 16
COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
# The column as it is, or as its partition.
PARTITION_OF = (exp.Date, exp.TimestampTrunc, exp.DateTrunc, exp.DatetimeTrunc, exp.Cast)
FAMILIES = {
    **dict.fromkeys(("TEXT", "VARCHAR", "CHAR"), "text"),
    **dict.fromkeys(
        ("BIGINT", "INT", "SMALLINT", "TINYINT", "DOUBLE", "FLOAT", "DECIMAL"), "number"
    ),
    **dict.fromkeys(("DATE", "TIMESTAMP", "DATETIME"), "day"),
    **{"BOOLEAN": "bool", "TIMESTAMPTZ": "moment", "TIME": "time", "JSON": "json"},
}
# What a text written in a query may stand for.
WRITTEN = ("text", "day", "moment", "time")


class Relation(Protocol):
    """A table or a view, as a query finds it."""

    @property
    def info(self) -> dict[str, Any]: ...


class Catalog(Protocol):
    """Where the tables of a query are found."""

    def find(self, name: str, view: str) -> Relation:
        """The table or view `projects/P/datasets/D/tables/T` that a query, or `view`, reads.

        Raises what Google would answer for one that is not there or may not be read.
        """


@dataclass(frozen=True)
class Source:
    """A table that a query reads: as which table of DuckDB, and which of its columns."""

    name: str
    relation: Relation
    alias: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Query:
    """What DuckDB is asked. `names` and `kinds` (sqlglot's) are of the result's columns."""

    sql: str
    sources: tuple[Source, ...]
    names: tuple[str, ...]
    kinds: tuple[str, ...]


@dataclass
class Compiler:
    """Of one query in `project`; tables without a dataset are in `dataset`, a (project, id).

    `now` is what CURRENT_TIMESTAMP answers, RFC 3339. `parameters` are QueryParameters. `filtered`:
    whether the filters that tables require have to be there.
    """

    catalog: Catalog
    project: str
    now: str
    dataset: tuple[str, str] | None = None
    parameters: Sequence[Mapping[str, Any]] = ()
    filtered: bool = True
    sources: dict[str, Source] = field(default_factory=dict)
    _spelled: dict[str, str] = field(default_factory=dict)

    def compile(self, text: str) -> Query:
        """Raises for what is no GoogleSQL, what is not run here, and what may not be read."""
        tree = self._parsed(text)
        self._set_parameters(tree)
        self._resolve(tree, self.project, self.dataset, "", 0)
        tree = self._qualified(tree)
        functions.check(tree)
        if any(column.is_star for column in tree.selects):
            raise refused("* of an UNNEST")
        if self.filtered:
            self._check_partitions(tree)
        for node in tree.walk():
            _check_comparison(node)
        names = tuple(self._spelled.get(name.lower(), name) for name in tree.named_selects)
        kinds = tuple(kind_of(column) for column in tree.selects)
        _count_offsets_from_zero(tree)
        used = {column.name.lower() for column in tree.find_all(exp.Column)}
        rewritten = _rewritten(tree)
        try:
            sql = rewritten.sql("duckdb", unsupported_level=sqlglot.ErrorLevel.RAISE)
        except SqlglotError as error:
            raise refused(str(error)) from None
        return Query(sql, tuple(self._needed(used)), names, kinds)

    def _qualified(self, tree: exp.Query) -> exp.Query:
        schema = MappingSchema(
            {source.alias: _declared(source.columns) for source in self.sources.values()},
            dialect="bigquery",
        )
        try:
            tree = qualify(tree, schema=schema, dialect="bigquery", quote_identifiers=True)
            tree = annotate_types(tree, schema=schema, dialect="bigquery")
        except OptimizeError as error:
            raise wrong(_unresolved(str(error))) from None
        except SqlglotError as error:
            raise wrong(str(error)) from None
        if not isinstance(tree, exp.Query):
            raise TypeError(f"qualified to {type(tree)}")
        return tree

    def _needed(self, used: set[str]) -> Iterator[Source]:
        for source in self.sources.values():
            whole = source.alias in used or not used
            wanted = tuple(c for c in source.columns if whole or c["name"].lower() in used)
            yield Source(source.name, source.relation, source.alias, wanted or source.columns[:1])

    def _parsed(self, text: str) -> exp.Query:
        try:
            statements = [tree for tree in sqlglot.parse(text, dialect="bigquery") if tree]
        except ParseError as error:
            found = error.errors[0] if error.errors else {}
            at = f" at [{found['line']}:{found['col']}]" if found.get("line") else ""
            what = re.sub(r" but got <Token.*", "", found.get("description") or str(error))
            raise wrong(f"Syntax error: {what.rstrip('.')}{at}") from None
        except TokenError as error:
            raise wrong(f"Syntax error: {error}") from None
        if not statements:
            raise wrong("Syntax error: Unexpected end of statement")
        if len(statements) > 1:
            raise refused("a script of several statements")
        tree = statements[0]
        while isinstance(tree, exp.Subquery) and not tree.args.get("alias"):
            tree = tree.this
        if not isinstance(tree, exp.Query):
            raise refused(f"a statement {text.split(None, 1)[0].upper()}")
        for node in tree.walk():
            if isinstance(node, exp.With) and node.args.get("recursive"):
                raise refused("WITH RECURSIVE")
            if isinstance(node, exp.Select) and node.args.get("kind"):
                raise refused(f"SELECT AS {node.args['kind']}")
            if isinstance(node, exp.Column) and node.name.upper() in PSEUDO:
                raise refused(f"the pseudo column {node.name}")
        for raw in list(tree.find_all(exp.RawString)):
            raw.replace(exp.Literal.string(raw.this))
        self._name_columns(tree)
        self._tell_the_time(tree)
        return tree

    def _name_columns(self, tree: Node) -> None:
        """Columns without a name are f0_, f1_…; spellings are kept, which sqlglot lowers."""
        for select in tree.find_all(exp.Select):
            count = 0
            for index, column in enumerate(select.expressions):
                if isinstance(column, (exp.Alias, exp.Column, exp.Dot, exp.Star)):
                    name = "" if column.is_star else column.output_name
                else:
                    name, count = f"f{count}_", count + 1
                    named = exp.alias_(column.copy(), name)
                    select.set("expressions", named, index)
                if name:
                    self._spelled.setdefault(name.lower(), name)

    def _tell_the_time(self, tree: Node) -> None:
        moments = {
            exp.CurrentTimestamp: ("TIMESTAMP", self.now),
            exp.CurrentDate: ("DATE", self.now[:10]),
            exp.CurrentDatetime: ("DATETIME", self.now[:-1]),
        }
        for node in list(tree.find_all(*moments)):
            if node.this is not None and node.this.name not in ("UTC", ""):
                raise refused("a time zone in CURRENT_DATE")
            kind, value = moments[type(node)]
            node.replace(_typed(value, kind))

    def _set_parameters(self, tree: Node) -> None:
        named = {item["name"]: item for item in self.parameters if item.get("name")}
        rest = iter(item for item in self.parameters if not item.get("name"))
        # In the order in which they are written.
        for node in list(tree.find_all(exp.Parameter, exp.Placeholder, bfs=False)):
            if isinstance(node, exp.Parameter):
                found = named.get(node.name) or named.get(node.name.lower())
                missing = f"Query parameter '{node.name}' not found"
            else:
                found, missing = next(rest, None), "Query parameter number out of range"
            if found is None:
                raise wrong(missing)
            kind, value = found.get("parameterType", {}), found.get("parameterValue", {})
            node.replace(_parameter(kind, value))

    def _resolve(
        self, tree: Node, project: str, dataset: tuple[str, str] | None, view: str, depth: int
    ) -> None:
        """Give each table of `tree` a name of DuckDB's, or put the view's query in its place."""
        if depth > DEEPEST:
            raise wrong(f"View nesting limit of {DEEPEST} exceeded.")
        for table in list(tree.find_all(exp.Table)):
            parts = [part.name for part in table.parts]
            if _is_local(table, parts):
                continue
            if not isinstance(table.this, exp.Identifier):
                raise refused(f"the table function {table.this.sql('bigquery')}")
            for key, value in table.args.items():
                if value and key not in ("this", "db", "catalog", "alias", "joins"):
                    raise refused(f"a table with {key.upper()}")
            name = self._name(parts, project, dataset)
            self._place(table, name, view, depth)

    def _place(self, table: exp.Table, name: str, view: str, depth: int) -> None:
        relation = self.catalog.find(name, view)
        info, table_id = relation.info, name.rpartition("/")[2]
        if not table.alias:
            alias = exp.TableAlias(this=exp.to_identifier(table_id, quoted=True))
            table.set("alias", alias)
        if info["type"] == "TABLE":
            if name not in self.sources:
                alias_id, columns = f"bq_source_{len(self.sources)}", _columns(relation, name)
                self.sources[name] = Source(name, relation, alias_id, columns)
                for column in columns:
                    self._spelled.setdefault(column["name"].lower(), column["name"])
            table.set("this", exp.to_identifier(self.sources[name].alias, quoted=True))
            table.set("db", None)
            table.set("catalog", None)
            return
        definition = info.get("view", {})
        if info["type"] != "VIEW" or not definition:
            raise refused(f"a table of type {info['type']}")
        if definition.get("useLegacySql", True):
            # metabase/metabase#9969, googleapis/java-bigquery#2711
            raise wrong("Cannot reference a legacy SQL view in a standard SQL query.")
        body = self._parsed(definition["query"])
        # "A reference inside of a view must be qualified with a dataset" (docs bigquery/views).
        self._resolve(body, name.split("/")[1], None, name, depth + 1)
        placed = exp.Subquery(this=body, alias=table.args["alias"], joins=table.args.get("joins"))
        table.replace(placed)

    def _name(self, parts: list[str], project: str, dataset: tuple[str, str] | None) -> str:
        if "INFORMATION_SCHEMA" in ".".join(parts).upper():
            raise refused("INFORMATION_SCHEMA")
        if any("*" in part for part in parts):
            raise refused("a wildcard table")
        parts = [piece for part in parts for piece in part.split(".")]
        if len(parts) == 1:
            if dataset is None:
                # googleapis/nodejs-bigquery#887
                raise wrong(
                    f'Table name "{parts[0]}" missing dataset while no default dataset is set in '
                    "the request."
                )
            parts = [*dataset, *parts]
        if len(parts) == 2:
            parts = [project, *parts]
        if len(parts) != 3:
            raise wrong(f"Invalid table name: `{'.'.join(parts)}`")
        return "projects/{}/datasets/{}/tables/{}".format(*parts)

    def _check_partitions(self, tree: Node) -> None:
        """Raise for a table that asks for a filter on its partitions and is read without one.

        Only what is AND-ed to the rest counts, and a comparison with something constant (docs
        bigquery/docs/querying-partitioned-tables). The sentence: mozilla/bigquery-etl#2673.
        """
        asking = {
            source.alias: (source, fields)
            for source in self.sources.values()
            if (fields := _partition_fields(source.relation.info))
        }
        if not asking:
            return
        pushed = pushdown_predicates(tree.copy(), dialect="bigquery")
        for table in pushed.find_all(exp.Table):
            if table.name not in asking:
                continue
            source, fields = asking[table.name]
            select = table.find_ancestor(exp.Select)
            if select is not None and _filters(select, table.alias, fields[0]):
                continue
            _, project, _, dataset, _, table_id = source.name.split("/")
            columns = ", ".join(f"'{name}'" for name in fields)
            raise wrong(
                f"Cannot query over table '{project}.{dataset}.{table_id}' without a filter over "
                f"column(s) {columns} that can be used for partition elimination"
            )


def _columns(relation: Relation, name: str) -> tuple[Column, ...]:
    columns = tuple(relation.info.get("schema", {}).get("fields", ()))
    if not columns:
        # Inferred.
        _, project, _, dataset, _, table = name.split("/")
        raise wrong(f"Table {project}:{dataset}.{table} does not have a schema.")
    return columns


def _declared(columns: Sequence[Column]) -> dict[str, str]:
    return {column["name"]: declared(column, 0) for column in columns}


def declared(column: Column, dialect: int) -> str:
    """The type of a column in GoogleSQL (0) or for DuckDB (1)."""
    kind = column["type"].upper()
    if column.get("collation"):
        raise refused(f"the collation of the column {column['name']}")
    if kind in ("RECORD", "STRUCT"):
        parts = [(part["name"], declared(part, dialect)) for part in column.get("fields", ())]
        inner = (
            "STRUCT({})".format(", ".join(f'"{name}" {kind}' for name, kind in parts))
            if dialect
            else "STRUCT<{}>".format(", ".join(f"`{name}` {kind}" for name, kind in parts))
        )
    elif kind in TYPES:
        inner = TYPES[kind][dialect]
    else:
        raise refused(f"the type {kind} of the column {column['name']}")
    if column.get("mode") == "REPEATED":
        return f"{inner}[]" if dialect else f"ARRAY<{inner}>"
    return inner


def _is_local(table: exp.Table, parts: list[str]) -> bool:
    """Whether this is a WITH's name, or an array of another table in the same FROM."""
    first = parts[0].lower()
    child: Node = table
    node = table.parent
    while node is not None:
        with_ = node.args.get("with_")
        names = [] if with_ is None or child is with_ else with_.expressions
        if len(parts) == 1 and first in [cte.alias.lower() for cte in names]:
            return True
        if len(parts) == 1 and isinstance(node, exp.With) and isinstance(child, exp.CTE):
            before = node.expressions[: node.expressions.index(child)]
            if first in [cte.alias.lower() for cte in before]:
                return True
        if len(parts) > 1 and isinstance(node, exp.Select):
            from_ = node.args.get("from_")
            joined = [join.this for join in node.args.get("joins") or ()]
            others = [from_.this, *joined] if from_ is not None else joined
            if first in [it.alias_or_name.lower() for it in others if it is not table]:
                return True
        child, node = node, node.parent
    return False


def _partition_fields(info: Mapping[str, Any]) -> list[str]:
    """The columns of which one has to be in a filter; none where no filter is required."""
    time, numbers = info.get("timePartitioning", {}), info.get("rangePartitioning", {})
    if not (info.get("requirePartitionFilter") or time.get("requirePartitionFilter")):
        return []
    if time and not time.get("field"):
        # googleapis/google-cloud-go#5013
        return ["_PARTITION_LOAD_TIME", "_PARTITIONDATE", "_PARTITIONTIME"]
    name = (time or numbers).get("field")
    return [name] if name else []


def _filters(select: exp.Select, alias: str, name: str) -> bool:
    conditions = [where.this] if (where := select.args.get("where")) else []
    conditions += [
        join.args["on"] for join in select.args.get("joins") or () if join.args.get("on")
    ]
    every = (part for condition in conditions for part in _anded(condition))
    return any(_eliminates(part, alias, name) for part in every)


def _anded(condition: Node) -> Iterator[Node]:
    if isinstance(condition, exp.Paren):
        yield from _anded(condition.this)
    elif isinstance(condition, exp.And):
        yield from _anded(condition.this)
        yield from _anded(condition.expression)
    else:
        yield condition


def _eliminates(part: Node, alias: str, name: str) -> bool:
    def is_it(node: Node | None) -> bool:
        while isinstance(node, PARTITION_OF):
            node = node.this
        found = isinstance(node, exp.Column) and node.name.lower() == name.lower()
        return found and node is not None and node.args["table"].name == alias

    def constant(node: Node | None) -> bool:
        return node is not None and node.find(exp.Column, exp.Subquery) is None

    if isinstance(part, exp.Not):
        return isinstance(part.this, exp.Is) and is_it(part.this.this)
    if isinstance(part, exp.Between):
        return is_it(part.this) and constant(part.args["low"]) and constant(part.args["high"])
    if isinstance(part, exp.In):
        return is_it(part.this) and bool(part.expressions) and all(map(constant, part.expressions))
    if isinstance(part, exp.Is):
        return is_it(part.this)
    if isinstance(part, COMPARISONS):
        left, right = part.this, part.expression
        return (is_it(left) and constant(right)) or (is_it(right) and constant(left))
    return False


def _check_comparison(node: Node) -> None:
    """Raise for a comparison of things that BigQuery does not compare; DuckDB casts them."""
    if isinstance(node, COMPARISONS):
        operands, sign = [node.this, node.expression], SIGNS[type(node).__name__]
    elif isinstance(node, exp.Between):
        operands, sign = [node.this, node.args["low"], node.args["high"]], "BETWEEN"
    elif isinstance(node, exp.In) and node.expressions:
        operands, sign = [node.this, *node.expressions], "IN"
    elif isinstance(node, (exp.Add, exp.Sub, exp.Mul, exp.Div)):
        operands, sign = [node.this, node.expression], SIGNS[type(node).__name__]
        if any(FAMILIES.get(kind_of(each)) in ("text", "bool") for each in operands):
            raise functions.mismatch(f"operator {sign}", *map(kind_of, operands))
        return
    else:
        return
    families = {FAMILIES.get(kind_of(it)) for it in operands if not _written(it)} - {None}
    texts = any(map(_written, operands))
    if len(families) > 1 or (texts and families - set(WRITTEN)):
        raise functions.mismatch(f"operator {sign}", *map(kind_of, operands))


SIGNS = {
    **{"EQ": "=", "NEQ": "!=", "GT": ">", "GTE": ">=", "LT": "<", "LTE": "<="},
    **{"Add": "+", "Sub": "-", "Mul": "*", "Div": "/"},
}


def _written(node: Node) -> bool:
    """Whether this is a text in the query, or a parameter that is one."""
    if isinstance(node, exp.Cast) and node.meta.get("parameter"):
        node = node.this
    return isinstance(node, exp.Literal) and node.is_string


def _count_offsets_from_zero(tree: Node) -> None:
    """WITH OFFSET counts from 0, DuckDB's WITH ORDINALITY from 1."""
    offsets = set()
    for unnest in tree.find_all(exp.Unnest):
        alias, offset = unnest.args.get("alias"), unnest.args.get("offset")
        if offset and alias is not None:
            name = offset.name if isinstance(offset, exp.Expr) else alias.columns[-1].name
            offsets.add((alias.name, name))
    for column in list(tree.find_all(exp.Column)):
        if (column.table, column.name) in offsets:
            less = exp.Sub(this=column.copy(), expression=exp.Literal.number(1))
            less.type = column.type
            column.replace(exp.Paren(this=less))


def _rewritten(tree: Node) -> Node:
    """With each function as DuckDB has it, from the inside out."""
    for node in reversed(list(tree.walk(bfs=False))):
        rewrite = functions.REWRITES.get(type(node).__name__)
        if rewrite is None:
            continue
        parent, key, index, kind = node.parent, node.arg_key, node.index, node.type
        new = rewrite(node)
        if new is node:
            continue
        new.type = kind
        if parent is None or key is None:
            tree = new
        else:
            parent.set(key, new, index)
    return tree


def _typed(value: Any, kind: str) -> Node:
    literal: Node = exp.Null() if value is None else exp.Literal.string(value)
    return exp.Cast(this=literal, to=exp.DataType.build(kind, dialect="bigquery"))


def _parameter(kind: Mapping[str, Any], given: Mapping[str, Any]) -> Node:
    name = kind.get("type", "").upper()
    if name == "ARRAY":
        inner = kind.get("arrayType", {})
        items = [_parameter(inner, item) for item in given.get("arrayValues") or ()]
        if items:
            return exp.Array(expressions=items)
        to = exp.DataType.build(f"ARRAY<{inner.get('type')}>", dialect="bigquery")
        return exp.Cast(this=exp.Array(expressions=[]), to=to)
    if name == "STRUCT":
        values = given.get("structValues") or {}
        parts = [
            exp.PropertyEQ(
                this=exp.to_identifier(part.get("name", ""), quoted=True),
                expression=_parameter(part["type"], values.get(part.get("name"), {})),
            )
            for part in kind.get("structTypes") or ()
        ]
        return exp.Struct(expressions=parts)
    if name not in TYPES or name == "BYTES":
        raise refused(f"a parameter of type {name}")
    node = _typed(given.get("value"), TYPES[name][0])
    node.meta["parameter"] = name == "STRING"
    return node


def _unresolved(message: str) -> str:
    found = re.match(
        r"(?:Column '\"?(?:[^'.]*\.)?|Unknown column: )([^'.\"\s]+)\"?(?:' could not be|$|\.)",
        message,
    )
    where = re.search(r"Line: (\d+), Col: (\d+)", message)
    if found is None:
        return message
    name = found[1]
    at = f" at [{where[1]}:{int(where[2]) - len(name) + 1}]" if where else ""
    return f"Unrecognized name: {name}{at}"
