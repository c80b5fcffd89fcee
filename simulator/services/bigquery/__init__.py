"""BigQuery v2: datasets, tables and their rows, views, and queries in GoogleSQL.

Queries run in DuckDB, which sqlglot says them to; nothing but SELECT, and of that what
`functions.py` lists. Other jobs answer 501.

Shapes and error texts: http-logs/bigquery-*.log. A dataset's `access` list is its allow policy in
an older notation, so it is kept as that policy (discovery document, `Dataset.access`). `fields.py`
lists what is acted on.
"""

from simulator.api.calls import Service
from simulator.services.bigquery import datasets, fields, projects, queries, rows, tables
from simulator.services.bigquery.state import BigQuery

SERVICE = Service(
    BigQuery,
    datasets.method,
    projects.method,
    queries.method,
    rows.method,
    tables.method,
    fields.HONOURED,
)
