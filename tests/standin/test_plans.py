"""What a type plans: with the settings of the provider, by other names, for what replaces it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pulumi_plugin.kinds import Context, ProviderError
from pulumi_plugin.values import Props
from tests.standin.support import (
    BUCKET,
    BUCKET_INPUTS,
    ENDPOINT,
    Scripted,
    configured,
)

ROLE = "gcp:projects/iAMCustomRole:IAMCustomRole"
TABLE = "gcp:bigquery/table:Table"
REPOSITORY = "gcp:artifactregistry/repository:Repository"
ON_KEY = "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember"
TABLE_INPUTS: Props = {"datasetId": "d", "tableId": "t"}
ROLE_INPUTS: Props = {"roleId": "r_1", "title": "R", "permissions": ["a.b.c"]}


@pytest.mark.parametrize("token", [ENDPOINT, BUCKET, ROLE])
def test_without_a_project_a_preview_fails(token: str) -> None:
    gcp, _ = configured(Scripted({}), project="")
    given = {"name": "1", "displayName": "pm", "location": "r", **ROLE_INPUTS}
    if token == BUCKET:  # it asks when it is made
        assert "project" not in gcp.kind(token).preview(given, None)
        return
    with pytest.raises(ProviderError, match="project: required field is not set"):
        gcp.kind(token).preview(given, None)


def test_a_repository_without_a_location_is_where_the_provider_is() -> None:
    path = "/v1/projects/p/locations/far-north1/repositories"
    api = Scripted({f"POST {path}": {"done": True}, f"GET {path}/r": {}})
    gcp, _ = configured(api, region="", zone="far-north1-a")
    given = {"repositoryId": "r", "format": "DOCKER"}
    assert gcp.kind(REPOSITORY).create(given, Context())[0] == f"{path[4:]}/r"
    gcp, _ = configured(Scripted({}), region="")
    with pytest.raises(ProviderError, match=r"Cannot determine location: set in this resource"):
        gcp.kind(REPOSITORY).create(given, Context())


@pytest.mark.parametrize("given", ["p/r/ring/key", "r/ring/key"])
def test_a_key_may_be_named_by_its_parts(given: str) -> None:
    whole = "projects/p/locations/r/keyRings/ring/cryptoKeys/key"
    binding = {"role": "roles/viewer", "members": ["user:a@x.y"]}
    api = Scripted({f"GET /v1/{whole}:getIamPolicy": {"bindings": [binding]}})
    gcp, _ = configured(api)
    inputs = {"cryptoKeyId": given, "role": "roles/viewer", "member": "user:a@x.y"}
    found = gcp.kind(ON_KEY).read("any", inputs, {}, Context())
    assert found is not None and found.id == f"{whole}/roles/viewer/user:a@x.y"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("key", "Error parsing resource ID for key: Invalid CryptoKey id format"),
        ("r/ring/key", "The default project for the provider must be set"),
    ],
)
def test_a_key_that_is_named_in_no_known_way_is_refused(given: str, said: str) -> None:
    gcp, _ = configured(Scripted({}), project="")
    inputs = {"cryptoKeyId": given, "role": "roles/viewer", "member": "user:a@x.y"}
    with pytest.raises(ProviderError, match=said):
        gcp.kind(ON_KEY).create(inputs, Context())


def column(name: str, type: str = "STRING", **other: Any) -> Props:
    return {"name": name, "type": type, **other}


ONE, TWO = column("one"), column("two", "INTEGER")
NESTED = column("in", "RECORD", fields=[ONE, TWO])


@pytest.mark.parametrize(
    ("old", "new", "replaced"),
    [
        ([ONE], [TWO, ONE], False),
        ([ONE], [ONE, column("three", mode="REQUIRED")], True),
        ([ONE, TWO], [ONE], False),
        ([ONE, TWO], [ONE, column("three")], True),
        ([TWO], [column("two", "int64", description="d")], False),
        ([TWO], [column("two", "FLOAT")], True),
        ([column("one", mode="REQUIRED")], [column("one", description="d")], False),
        ([ONE], [column("one", mode="REPEATED")], True),
        ([NESTED], [column("in", "RECORD", fields=[ONE, TWO, column("three")])], False),
        ([NESTED], [column("in", "RECORD", fields=[ONE])], True),
        ([], [ONE], False),
    ],
)
def test_columns_that_cannot_change_in_place_replace_the_table(
    old: list[Props], new: list[Props], replaced: bool
) -> None:
    gcp, _ = configured(Scripted({}))
    before = {**TABLE_INPUTS, "schema": json.dumps(old), "__defaults": []}
    labels = {"goog-pulumi-provisioned": "true"}
    state = {**before, "effectiveLabels": labels, "pulumiLabels": labels}
    change = gcp.kind(TABLE).diff("t", before, state, {**before, "schema": json.dumps(new)})
    assert change.replaces == (("schema",) if replaced else ())
    assert change.updates == (() if replaced else ("schema",))
    assert change.delete_before_replace is replaced


def test_versions_of_objects_stay_on_where_the_program_no_longer_says_so() -> None:
    gcp, _ = configured(Scripted({}))
    labels = {"goog-pulumi-provisioned": "true"}
    on = {"versioning": {"enabled": True}}
    state = {**BUCKET_INPUTS, **on, "effectiveLabels": labels, "pulumiLabels": labels}
    change = gcp.kind(BUCKET).diff("b", {**BUCKET_INPUTS, **on}, state, BUCKET_INPUTS)
    assert (change.updates, change.replaces) == ((), ())
