from functools import cache
from itertools import chain, combinations
from pathlib import Path

import pytest

from components import permissions as table
from policies.gcp_access import roles as catalogue
from rehearsal import environment

CASES = (table.WHOLE, table.LAYERS)
CAPABILITIES = tuple(it for it in (*table.CAPABILITIES, *table.FOLLOWING) if it not in CASES)
MOST = max(len(need.when - {*CASES}) for need in table.NEEDS) + 1
"""One capability more than any line asks for."""
SMALL_CHOICES = [it for n in range(MOST + 1) for it in combinations(CAPABILITIES, n)]
# Every line with and without what it asks for, beside few others and beside all others.
EVERY_CHOICE = [
    (case, *chosen)
    for case in CASES
    for small in SMALL_CHOICES
    for chosen in (small, tuple(it for it in CAPABILITIES if it not in small))
]


@pytest.mark.parametrize("need", table.NEEDS, ids=lambda need: f"{need.identity} {need.step}")
def test_every_permission_is_one_that_a_custom_role_may_hold(need: table.Need) -> None:
    assert catalogue.support_level(need.permission) == "SUPPORTED"


def test_no_line_stands_twice() -> None:
    assert len(set(table.NEEDS)) == len(table.NEEDS)


def test_a_permission_and_its_step_are_written_once_for_each_identity_and_resource() -> None:
    lines = [(need.identity, need.on, need.step, need.permission) for need in table.NEEDS]
    assert len(set(lines)) == len(lines)


@cache
def every_role() -> frozenset[table.Role]:
    return frozenset(chain.from_iterable(map(table.roles, EVERY_CHOICE)))


def test_a_role_is_the_union_of_its_steps_and_nothing_else() -> None:
    for capabilities in EVERY_CHOICE:
        steps: dict[tuple[str, str, str], set[str]] = {}
        for need in table.needs(capabilities):
            steps.setdefault((need.identity, need.role, need.on), set()).add(need.permission)
        roles = table.roles(capabilities)
        held = {(role.identity, role.key, role.on): set(role.permissions) for role in roles}
        assert held == steps, capabilities
        assert len(roles) == len(held)


def test_act_as_and_token_creation_are_needed_on_single_accounts_only() -> None:
    accounts = {
        *(table.SERVING_ACCOUNT, table.DEPLOYER_ACCOUNT, table.PREVIEW_ACCOUNT),
        *(table.TELEMETRY_ACCOUNT, table.PLATFORM_ACCOUNT),
    }
    for role in every_role():
        if {"iam.serviceAccounts.actAs", "iam.serviceAccounts.getAccessToken"} & set(
            role.permissions
        ):
            assert role.on in accounts
            assert len(role.permissions) == 1


def test_the_preview_account_can_only_read() -> None:
    reads = ("get", "list", "getIamPolicy", "getAttestationRules")
    for role in every_role():
        if role.identity == table.PREVIEW:
            assert all(name.rpartition(".")[2] in reads for name in role.permissions)


@pytest.mark.parametrize("case", CASES)
def test_nobody_holds_more_than_without_a_key_but_on_the_key(case: str) -> None:
    """And that the log dataset can be given another one."""
    everything = {*CAPABILITIES} - {table.ENCRYPT} | {case}
    added = {*table.needs(everything | {table.ENCRYPT})} - {*table.needs(everything)}
    assert {(it.identity, it.on, it.permission) for it in added} == {
        (table.PLATFORM, table.KEY, "cloudkms.cryptoKeys.getIamPolicy"),
        (table.PLATFORM, table.KEY, "cloudkms.cryptoKeys.setIamPolicy"),
        (table.PREVIEW, table.KEY, "cloudkms.cryptoKeys.getIamPolicy"),
        (table.PLATFORM, table.PROJECT, "bigquery.datasets.update"),
    }


def test_staging_may_retire_its_endpoint_and_prod_may_not(tmp_path: Path) -> None:
    held = {}
    for stack in ("staging", "prod"):
        settings = environment.load(stack, tmp_path, layer="whole").settings
        held[stack] = {
            permission
            for role in table.roles(settings.capabilities)
            if role.identity == table.DEPLOYER
            for permission in role.permissions
        }
    assert "aiplatform.endpoints.delete" in held["staging"] - held["prod"]
    assert held["prod"] < held["staging"]
