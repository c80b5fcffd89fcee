"""Customer-managed keys of secrets: each version is sealed with the key of its time.

Facts: the discovery document, `CustomerManagedEncryption` (where a key has to be); docs
secret-manager/docs/cmek: the service agent uses the key. The sentences about a key outside
`global`, and about an agent that nobody has made, are recorded in
GoogleCloudPlatform/terraform-google-secret-manager#74, the second without its end. How Google puts
that the agent may not use a key, or that the key is off, is not recorded; Cloud KMS says it here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulator.api.errors import ApiError, failed_precondition, invalid
from simulator.core.cloud import Cloud
from simulator.core.principal import Principal
from simulator.services.kms.state import Kms
from simulator.services.secretmanager.state import Secret, Secrets, Version

ANYWHERE = "global"


def _keys(replication: dict[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """(location, customerManagedEncryption) of those that have one; `global` for everywhere."""
    if "automatic" in replication:
        places = [{"location": ANYWHERE, **replication["automatic"]}]
    else:
        places = replication["userManaged"].get("replicas", [])
    for place in places:
        if encryption := place.get("customerManagedEncryption"):
            yield place["location"], encryption


def check(cloud: Cloud, secret: str, replication: dict[str, Any]) -> None:
    """Raise unless the keys are where the secret is, and Secret Manager has its agent."""
    for location, encryption in _keys(replication):
        key = encryption["kmsKeyName"] = cloud[Kms].normal(encryption.get("kmsKeyName", ""))
        place = key.split("/")[3]
        if location == ANYWHERE != place:
            raise invalid(
                "Automatic replication policy can only be configured with Cloud KMS keys in "
                f"location [global]. Requested: [{key}]"
            )
        if location != place:
            raise invalid(f"The key {key} is not in the location of its replica, {location}.")
        _agent(cloud, secret)


def _agent(cloud: Cloud, secret: str) -> Principal:
    agent = cloud[Secrets].agent(secret)
    if agent is None:
        raise invalid("Secret Manager service identity for project not found.")
    return agent


def sealing(cloud: Cloud, secret: Secret) -> dict[str, str]:
    """Location -> name of the key version that seals what is added now."""
    found = {}
    for location, encryption in _keys(secret.info["replication"]):
        key = encryption["kmsKeyName"]
        _use(cloud, secret, key)
        found[location] = f"{key}/cryptoKeyVersions/{cloud[Kms].key(key).primary}"
    return found


def check_opens(cloud: Cloud, secret: Secret, version: Version) -> None:
    """Raise unless the version can be read; which replica Google reads is not known: all here."""
    for name in version.keys.values():
        key, _, number = name.partition("/cryptoKeyVersions/")
        _use(cloud, secret, key, int(number))


def _use(cloud: Cloud, secret: Secret, key: str, number: int | None = None) -> None:
    try:
        cloud[Kms].check_use(_agent(cloud, secret.name), key, number)
    except ApiError as error:
        raise failed_precondition(error.message) from None
