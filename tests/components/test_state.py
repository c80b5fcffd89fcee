"""The state bucket's component, as far as it goes without an engine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from components import encryption, state


class Failed:
    """What the engine tells an error hook, newest error first."""

    def __init__(self, *errors: str) -> None:
        self.errors = list(errors)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(encryption.asyncio, "sleep", sleep)
    return found


REFUSED = (
    "googleapi: Error 403: Permission denied on Cloud KMS key. Please ensure that your Cloud "
    "Storage service account has been authorized to use this key., forbidden"
)


@pytest.mark.parametrize(
    ("errors", "again"),
    [
        ((REFUSED,), True),
        ((REFUSED, REFUSED), True),
        (
            ("googleapi: Error 409: Your previous request to create the named bucket", REFUSED),
            False,
        ),
        (("googleapi: Error 403: storage.buckets.create denied",), False),
        (
            (
                "googleapi: Error 400: Cloud Pub/Sub did not have the necessary permissions "
                "configured to support this operation. Please verify that the service account",
            ),
            True,
        ),
        (
            (
                "googleapi: Error 403: Access Denied: BigQuery BigQuery: Cloud KMS Error: denied "
                "Please grant Cloud KMS CryptoKey Encrypter/Decrypter role to BigQuery service "
                "account: bq-1@bigquery-encryption.iam.gserviceaccount.com, accessDenied",
            ),
            True,
        ),
        (
            (
                "Permission 'cloudkms.cryptoKeyVersions.useToEncrypt' denied on resource "
                "'projects/p/locations/l/keyRings/r/cryptoKeys/k' (or it may not exist).",
            ),
            True,
        ),
        (("cryptoKeys/k/cryptoKeyVersions/1 is not enabled, current state is: DISABLED.",), False),
    ],
)
def test_a_bucket_waits_for_its_key_and_for_nothing_else(
    errors: tuple[str, ...], again: bool, pauses: list[float]
) -> None:
    args: Any = Failed(*errors)
    assert asyncio.run(state.not_yet(args)) is again
    assert pauses == [encryption.PAUSE] * again


def test_the_engine_gives_up_after_as_long_as_access_takes_at_most() -> None:
    """It tries 100 times; changes of access take 7 minutes and more (gcp-facts)."""
    assert 8 * 60 <= 100 * encryption.PAUSE <= 15 * 60
