"""Query jobs: who may run one on what, what it answers, and who may see it.

Permissions: docs bigquery/docs/reference/rest/v2/jobs (each method, "IAM Permissions") and
bigquery/docs/jobs-overview; whoever made a job may see it. A job has ended when its request is
answered. That what is wrong with a query itself is told on inserting the job, and what goes wrong
as it runs in the job, is recorded for denials (mozilla/bigquery-etl#3193) and else inferred.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from simulator.api.calls import Call, Methods, Result
from simulator.api.errors import ApiError, already_exists, invalid, not_found, unimplemented
from simulator.api.pages import page
from simulator.core.platform import Containers
from simulator.services.bigquery.jobs import Job
from simulator.services.bigquery.rows import encoded
from simulator.services.bigquery.state import SITE, BigQuery, Table, label, on_project

if TYPE_CHECKING:
    from simulator.services.bigquery.sql import Query

method = Methods()

CREATE, GET, READ = "bigquery.jobs.create", "bigquery.jobs.get", "bigquery.tables.getData"
# What is billed for a table: whole MiB, and ten at least. This, and that it is told as the job's
# error: exmergo/dex#320.
MIB, LEAST_BILLED = 1 << 20, 10 << 20
PAGE_ROWS = 10_000
PREFIX = re.compile(r"\s*#(standard|legacy)SQL\b", re.IGNORECASE)
JOB_ID = re.compile(r"[\w\-]{1,1024}")
MULTI_REGIONS = ("us", "eu")


class Tables:
    """The tables of a query's caller, all in one location: the one given, or the first table's.

    `making` is a view that is being made of the query, "" for none.
    """

    def __init__(self, call: Call, location: str, making: str = "") -> None:
        self.call, self.location, self.making = call, location, making

    def find(self, name: str, view: str) -> Table:
        """The words: mozilla/bigquery-etl#3193 (denied), #1698 (no table), googleapis/
        google-cloud-python#15691 (a dataset elsewhere)."""
        call, bigquery = self.call, self.call.cloud[BigQuery]
        _, project, rest = name.split("/", 2)
        name = f"projects/{call.cloud[Containers].id(project)}/{rest}"
        if name == self.making:
            raise invalid(f"View {label(name)} reads itself.")  # inferred
        parent = name.rpartition("/tables/")[0]
        dataset = bigquery.datasets.get(parent)
        place = self.location or (dataset.info["location"] if dataset else "US")
        through = bool(view) and dataset is not None and _authorised(dataset.authorised, view)
        if not through and not call.allowed(READ, name):
            what = label(name)
            raise denied(
                f"Access Denied: Table {what}: User does not have permission to query table "
                f"{what}, or perhaps it does not exist in location {place}."
            )
        if dataset is None or dataset.info["location"].lower() != place.lower():
            raise not_found(f"Not found: Dataset {label(parent)} was not found in location {place}")
        self.location = place
        try:
            return bigquery.data(name)
        except ApiError as error:
            if error.status != 404:
                raise
            message = f"Not found: Table {label(name)} was not found in location {place}"
            raise not_found(message) from None


def _authorised(entries: list[dict[str, Any]], view: str) -> bool:
    """Whether a dataset lets a view read it for whoever may read the view (docs bigquery/docs/
    authorized-views, authorized-datasets)."""
    _, project, _, dataset, _, table = view.split("/")
    its = {"projectId": project, "datasetId": dataset}
    for entry in entries:
        if entry.get("view") == {**its, "tableId": table}:
            return True
        whole = entry.get("dataset") or {}
        if whole.get("dataset") == its and "VIEWS" in whole.get("targetTypes", ()):
            return True
    return False


def denied(message: str) -> ApiError:
    return ApiError(403, "PERMISSION_DENIED", message, legacy="accessDenied")


def compiled(
    call: Call,
    text: str,
    project: str,
    location: str,
    options: Mapping[str, Any],
    making: str = "",
) -> tuple[Query, str]:
    """A query for DuckDB, and where it runs. `options` are a JobConfigurationQuery's.

    What a view reads need not be filtered as the view is made.
    """
    # sqlglot and DuckDB take half a second to import, which a cloud without queries saves.
    from simulator.services.bigquery.sql import Compiler

    tables, dataset = Tables(call, location, making), options.get("defaultDataset")
    default = None
    if dataset:
        default = (dataset.get("projectId") or project, dataset["datasetId"])
    compiler = Compiler(
        tables,
        project,
        call.cloud.clock.rfc3339(),
        default,
        options.get("queryParameters", ()),
        filtered=not making,
    )
    query = compiler.compile(text)
    return query, tables.location or "US"


def view_columns(call: Call, name: str, text: str) -> list[dict[str, Any]]:
    """The columns of the view `projects/P/datasets/D/tables/T`, whose caller must be able to read
    what it reads (docs bigquery/docs/views, "Required permissions")."""
    from simulator.services.bigquery.engine import answer

    bigquery = call.cloud[BigQuery]
    place = bigquery.dataset(name.rpartition("/tables/")[0]).info["location"]
    query, _ = compiled(call, text, name.split("/")[1], place, {}, making=name)
    return answer(query, lambda source: [], seconds=0).columns


def _run(call: Call, project: str, given: Mapping[str, Any], reference: Mapping[str, Any]) -> Job:
    """Run a JobConfiguration. Raises for what is wrong with the query itself."""
    from simulator.services.bigquery.engine import SECONDS, answer

    options, jobs = given["query"], call.cloud[BigQuery].jobs
    query, place = compiled(call, options["query"], project, reference.get("location", ""), options)
    read = [source.relation for source in query.sources]
    sizes = [table.size() for table in read if isinstance(table, Table)]
    size, billed = sum(sizes), sum(max(LEAST_BILLED, -(-each // MIB) * MIB) for each in sizes)
    dry, started = bool(given.get("dryRun")), call.cloud.clock.now()
    job_id = reference.get("jobId") or f"job_{call.cloud.unique_id()}"
    name = f"projects/{project}/jobs/{job_id}"
    if name in jobs.all:
        raise already_exists(f"Already Exists: Job {project}:{place}.{job_id}")
    job = Job({}, call.principal.member, started)
    seconds = min(SECONDS, int(given.get("jobTimeoutMs") or SECONDS * 1000) / 1000)
    try:
        _check_billed(billed, options)
        found = answer(query, lambda source: [] if dry else _rows(source.relation), seconds)
        job.columns, job.rows = found.columns, found.rows
    except ApiError as error:
        if dry or error.status == 501:
            raise
        job.error = error
    job.info = _info(call, project, job_id, place, given, job, query)
    job.info["statistics"]["totalBytesProcessed"] = str(size)
    job.info["statistics"]["query"] |= {
        "totalBytesProcessed": str(size),
        "totalBytesBilled": "0" if dry else str(billed),
    }
    if dry:
        del job.info["jobReference"]["jobId"]
    else:
        jobs.keep(name, job, started)
    return job


def _check_billed(billed: int, options: Mapping[str, Any]) -> None:
    limit = int(options.get("maximumBytesBilled") or billed)
    if billed > limit:
        message = f"Query exceeded limit for bytes billed: {limit}. {billed} or higher required."
        raise ApiError(400, "INVALID_ARGUMENT", message, legacy="bytesBilledLimitExceeded")


def _rows(relation: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = relation.rows
    return rows


def _info(
    call: Call,
    project: str,
    job_id: str,
    place: str,
    given: Mapping[str, Any],
    job: Job,
    query: Query,
) -> dict[str, Any]:
    """Times are of the cloud's clock, on which a query takes none."""
    at = str(int(job.made * 1000))
    tables = [source.name.split("/")[1::2] for source in query.sources]
    statistics = {
        "cacheHit": False,
        "statementType": "SELECT",
        "schema": {"fields": job.columns},
        "referencedTables": [
            {"projectId": owner, "datasetId": dataset, "tableId": table}
            for owner, dataset, table in tables
        ],
    }
    status: dict[str, Any] = {"state": "DONE"}
    if job.error:
        wrong = {"reason": job.error.legacy, "message": job.error.message, "location": "query"}
        status |= {"errorResult": wrong, "errors": [wrong]}
    configuration = {
        **given,
        "jobType": "QUERY",
        "query": {"priority": "INTERACTIVE", **given["query"], "useLegacySql": False},
    }
    return {
        "kind": "bigquery#job",
        "etag": job_id,
        "id": f"{project}:{place}.{job_id}",
        "selfLink": f"{SITE}/projects/{project}/jobs/{job_id}?location={place}",
        "user_email": call.principal.email,
        "configuration": configuration,
        "jobReference": {"projectId": project, "jobId": job_id, "location": place},
        "statistics": {
            **dict.fromkeys(("creationTime", "startTime", "endTime"), at),
            "query": statistics,
        },
        "status": status,
    }


def _require_google_sql(call: Call, options: Mapping[str, Any]) -> None:
    """A first line may say which SQL it is (docs bigquery/docs/introduction-sql)."""
    said = PREFIX.match(options.get("query", ""))
    legacy = said[1].lower() == "legacy" if said else options.get("useLegacySql", True)
    if legacy:
        raise unimplemented(f"{call.method.id} in legacy SQL (useLegacySql is true unless set)")


@method("bigquery.jobs.query", permission=CREATE, on=on_project)
def query(call: Call) -> Result:
    body, jobs = call.body, call.cloud[BigQuery].jobs
    if not body.get("query"):
        raise invalid("Required parameter is missing: query")
    _require_google_sql(call, body)
    project, now = call.resource.removeprefix("projects/"), call.cloud.clock.now()
    # The same request but for what does not change the result (discovery document, `requestId`).
    same = {key: value for key, value in body.items() if key not in ("timeoutMs", "maxResults")}
    request_id = json.dumps(same, sort_keys=True) if body.get("requestId") else ""
    job = jobs.asked_before(call.principal.member, request_id, now)
    if job is None:
        keys = ("query", "defaultDataset", "queryParameters", "parameterMode", "useQueryCache")
        options = {key: body[key] for key in (*keys, "maximumBytesBilled") if key in body}
        given: dict[str, Any] = {
            key: body[key] for key in ("labels", "dryRun", "jobTimeoutMs") if key in body
        }
        job = _run(
            call, project, {**given, "query": options}, {"location": body.get("location", "")}
        )
        job.request_id = request_id
    if job.error:
        raise job.error
    answer = _results(call, job, body, "queryResponse")
    statistics = job.info["statistics"]
    answer |= {
        "statementType": "SELECT",
        "location": job.location,
        "totalBytesBilled": statistics["query"]["totalBytesBilled"],
        **{key: statistics[key] for key in ("creationTime", "startTime", "endTime")},
    }
    if body.get("dryRun"):
        for key in ("rows", "totalRows", "pageToken"):
            answer.pop(key, None)
    return answer


@method("bigquery.jobs.insert", permission=CREATE, on=on_project)
def insert(call: Call) -> Result:
    given, reference = call.body.get("configuration", {}), call.body.get("jobReference", {})
    if "query" not in given:
        raise unimplemented(f"{call.method.id} of a job that is no query")
    if not given["query"].get("query"):
        raise invalid("Required parameter is missing: query")
    if reference.get("jobId") and not JOB_ID.fullmatch(reference["jobId"]):
        raise invalid(f'Invalid job ID "{reference["jobId"]}".')
    _require_google_sql(call, given["query"])
    return _run(call, call.resource.removeprefix("projects/"), given, reference).info


def _job(call: Call) -> Job:
    """The job asked for, when the caller made it or may see others'.

    Its location has to be named unless it is the US or EU (discovery document, `jobs.get`).
    """
    project, job_id = call.resource.removeprefix("projects/"), call.params["jobId"]
    job = call.cloud[BigQuery].jobs.all.get(f"{call.resource}/jobs/{job_id}")
    if job is None or job.owner != call.principal.member:
        call.check(GET, call.resource)
    place = call.params.get("location", "").lower()
    if job is not None and place == job.location.lower():
        return job
    if job is None or place or job.location.lower() not in MULTI_REGIONS:
        # kitagry/bqls.nvim#10
        raise not_found(f"Not found: Job {project}:{job_id}")
    return job


@method("bigquery.jobs.get", permission=None, on=on_project, reads="location projection")
def get(call: Call) -> Result:
    return _job(call).info


@method(
    "bigquery.jobs.getQueryResults",
    permission=None,
    on=on_project,
    reads="formatOptions.useInt64Timestamp location maxResults pageToken startIndex timeoutMs",
)
def get_results(call: Call) -> Result:
    job = _job(call)
    if job.owner == call.principal.member:
        call.check(CREATE, call.resource)
    else:
        # Results lie in a table that only who ran the query can read (docs bigquery/docs/
        # cached-results); that table's name and these words are inferred.
        raise denied(f"Access Denied: Job {job.info['id']}: User does not have {READ} permission.")
    if job.error:
        raise job.error
    options = {"useInt64Timestamp": call.params.get("formatOptions.useInt64Timestamp", False)}
    answer = _results(
        call, job, {**call.params, "formatOptions": options}, "getQueryResultsResponse"
    )
    return answer | {"etag": job.info["etag"]}


def _results(call: Call, job: Job, options: Mapping[str, Any], kind: str) -> dict[str, Any]:
    late = call.cloud.clock.now() - job.made > 24 * 3600
    if job.rows is None or late:
        # As for any table that has expired; the anonymous table's name is not told here.
        raise not_found(f"Not found: Table of the results of job {job.info['id']}")
    micros = options.get("formatOptions", {}).get("useInt64Timestamp", False)
    try:
        start = int(options.get("pageToken") or options.get("startIndex") or 0)
    except ValueError:
        raise invalid("Invalid page token.") from None
    end = start + int(options.get("maxResults", PAGE_ROWS))
    answer: dict[str, Any] = {
        "kind": f"bigquery#{kind}",
        "schema": {"fields": job.columns},
        "jobReference": job.info["jobReference"],
        "totalRows": str(len(job.rows)),
        "totalBytesProcessed": job.info["statistics"]["totalBytesProcessed"],
        "jobComplete": True,
        "cacheHit": False,
    }
    if rows := job.rows[start:end]:
        answer["rows"] = [
            {
                "f": [
                    {"v": encoded(column, value, micros)}
                    for column, value in zip(job.columns, row, strict=True)
                ]
            }
            for row in rows
        ]
    return {**answer, "pageToken": str(end)} if end < len(job.rows) else answer


@method(
    "bigquery.jobs.list",
    permission=None,
    on=on_project,
    reads="allUsers maxCreationTime maxResults minCreationTime pageToken projection stateFilter",
)
def list_jobs(call: Call) -> Result:
    """Newest first; of others' jobs `bigquery.jobs.list` shows little, `listAll` everything.

    What is left of a job that is not shown whole is inferred.
    """
    params, everybody = call.params, call.params.get("allUsers", False)
    whole = everybody and call.allowed("bigquery.jobs.listAll", call.resource)
    if everybody and not whole:
        call.check("bigquery.jobs.list", call.resource)
    states = [state.lower() for state in params.get("stateFilter") or ["done"]]
    first, last = (int(params.get(f"{end}CreationTime") or 0) for end in ("min", "max"))
    items = []
    for name, job in reversed(call.cloud[BigQuery].jobs.all.items()):
        mine, made = job.owner == call.principal.member, int(job.made * 1000)
        within = first <= made and (not last or made <= last) and "done" in states
        if name.startswith(f"{call.resource}/jobs/") and within and (mine or everybody):
            items.append((f"{10**12 - job.number:012}", _listed(job, params, mine or whole)))
    found, token = page(items, params.get("pageToken"), params.get("maxResults", 50))
    answer: dict[str, Any] = {"kind": "bigquery#jobList", "jobs": found}
    return {**answer, "nextPageToken": token} if token else answer


def _listed(job: Job, params: Mapping[str, Any], whole: bool) -> dict[str, Any]:
    keys = ["kind", "id", "jobReference", "statistics", "status"]
    if whole:
        keys.append("user_email")
        if params.get("projection", "").lower() == "full":
            keys.append("configuration")
    shown = {key: job.info[key] for key in keys}
    shown["state"] = job.info["status"]["state"]
    if error := job.info["status"].get("errorResult"):
        shown["errorResult"] = error
    return shown
