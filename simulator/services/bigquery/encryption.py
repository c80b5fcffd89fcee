"""Customer-managed keys: tables are sealed and opened by the project's encryption account.

Facts (docs bigquery/docs/customer-managed-encryption): a dataset's default key is for new tables
that name none; it lies where the dataset does. The denial is recorded on making a dataset
(terraform-google-modules/terraform-docs-samples#334); that a key which is gone or disabled is told
in the same frame, and the words for one in a wrong place, are inferred.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.api.errors import ApiError, invalid
from simulator.core.cloud import Cloud
from simulator.core.principal import Principal
from simulator.identity.accounts import Accounts
from simulator.services.kms.state import Kms

# A multi-region that Cloud KMS calls otherwise.
PLACES = {"eu": "europe"}


def check(cloud: Cloud, project: str, given: Mapping[str, Any] | None, location: str) -> None:
    """Raise unless the project can use the key of an EncryptionConfiguration at `location`."""
    if not given or not given.get("kmsKeyName"):
        return
    key, place = cloud[Kms].normal(given["kmsKeyName"]), location.lower()
    place = PLACES.get(place, place)
    if key.split("/")[3] != place:
        raise invalid(f"The Cloud KMS key {key} is not in {place}.")
    account = cloud[Accounts].standing("bigquery", project)
    try:
        cloud[Kms].check_use(Principal(f"serviceAccount:{account}"), key)
    except ApiError as error:
        message = f"Access Denied: BigQuery BigQuery: Cloud KMS Error: {error.message}"
        if error.status == 403:
            message += (
                " Please grant Cloud KMS CryptoKey Encrypter/Decrypter role to BigQuery service "
                f"account: {account}"
            )
        raise ApiError(403, "PERMISSION_DENIED", message, legacy="accessDenied") from None
