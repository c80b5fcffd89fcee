"""What of BigQuery's requests is acted on, or kept and given back; all else is refused."""

from simulator.api.honoured import Table

# There is no query engine, so what only queries look at (a view's text, constraints, clustering,
# a required filter, collation) is kept.
HONOURED = Table(
    "bigquery",
    {
        "Dataset": (
            "access datasetReference defaultCollation defaultEncryptionConfiguration "
            "defaultPartitionExpirationMs defaultTableExpirationMs description friendlyName labels "
            "location maxTimeTravelHours storageBillingModel"
        ),
        "Dataset.access": "*",
        "DatasetReference": "*",
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
        "GetIamPolicyRequest": "options",
        "GetPolicyOptions": "*",
        "SetIamPolicyRequest": "policy updateMask",
        "Policy": "*",
        "TestIamPermissionsRequest": "*",
    },
    ignored={
        "Dataset.access.datasetId": "the official provider repeats the dataset's id in each entry",
        "Table.kind": "every table's is bigquery#table",
        "TableDataInsertAllRequest.kind": "the value is not checked (discovery document)",
        "TableDataInsertAllRequest.traceId": "for debugging purposes only (discovery document)",
    },
)
