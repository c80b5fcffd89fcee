"""What of BigQuery's requests is acted on, or kept and given back; all else is refused."""

from simulator.api.honoured import Table

# Constraints are not enforced (docs bigquery/docs/information-schema-table-constraints), and
# clustering changes only what a query costs: both are kept. Columns with a collation are kept, and
# not queried.
HONOURED = Table(
    "bigquery",
    {
        "Dataset": (
            "access datasetReference defaultCollation defaultEncryptionConfiguration "
            "defaultPartitionExpirationMs defaultTableExpirationMs description friendlyName labels "
            "location maxTimeTravelHours storageBillingModel"
        ),
        "Dataset.access": "*",
        "EncryptionConfiguration": "*",
        "Table": (
            "clustering defaultCollation description encryptionConfiguration expirationTime "
            "friendlyName labels rangePartitioning requirePartitionFilter schema tableConstraints "
            "tableReference timePartitioning view"
        ),
        "TableReference": "*",
        "Clustering": "*",
        "RangePartitioning": "*",
        "TableConstraints": "*",
        "TimePartitioning": "expirationMs field requirePartitionFilter type",
        "ViewDefinition": "query useExplicitColumnNames useLegacySql",
        "TableSchema": "fields",
        # Empty policy tags, as the official provider sends them, are none.
        "TableFieldSchema": "collation description fields mode name policyTags type",
        "TableDataInsertAllRequest": "ignoreUnknownValues rows skipInvalidRows",
        "TableDataInsertAllRequest.rows": "*",
        "QueryRequest": (
            "defaultDataset dryRun formatOptions jobTimeoutMs labels location maxResults "
            "maximumBytesBilled parameterMode query queryParameters requestId timeoutMs "
            "useLegacySql"
        ),
        "Job": "configuration jobReference",
        "JobReference": "*",
        "JobConfiguration": "dryRun jobTimeoutMs labels query",
        "JobConfigurationQuery": (
            "defaultDataset maximumBytesBilled parameterMode priority query queryParameters "
            "useLegacySql"
        ),
        "DataFormatOptions": "useInt64Timestamp",
        "DatasetReference": "*",
        "QueryParameter": "*",
        "GetIamPolicyRequest": "options",
        "GetPolicyOptions": "*",
        "SetIamPolicyRequest": "policy updateMask",
        "Policy": "*",
        "TestIamPermissionsRequest": "*",
    },
    ignored={
        "Dataset.access.datasetId": "the official provider repeats the dataset's id in each entry",
        "JobConfigurationQuery.useQueryCache": "a cached result is the same result",
        "QueryRequest.jobCreationMode": "a job may be made where none is required",
        "QueryRequest.kind": "every request's is bigquery#queryRequest",
        "QueryRequest.useQueryCache": "a cached result is the same result",
        "Table.kind": "every table's is bigquery#table",
        "TableDataInsertAllRequest.kind": "the value is not checked (discovery document)",
        "TableDataInsertAllRequest.traceId": "for debugging purposes only (discovery document)",
    },
)
