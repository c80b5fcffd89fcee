"""Members of allow policies: their forms, and which of them have to exist.

Forms: https://cloud.google.com/iam/docs/principal-identifiers
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod

from simulator.api.errors import invalid
from simulator.core.cloud import Cloud
from simulator.core.platform import Containers

POOL = (
    r"(?:projects/[^/\s]+/locations/global/workloadIdentityPools"
    r"|locations/global/workforcePools)/[^/\s]+"
)
MEMBER = re.compile(
    r"allUsers|allAuthenticatedUsers"
    r"|(?:user|serviceAccount|group):[^\s:@]+@[^\s:@]+"
    r"|domain:[^\s:@]+"
    r"|project(?:Owner|Editor|Viewer):[^\s:]+"
    rf"|principal://iam\.googleapis\.com/(?P<pool>{POOL})/subject/\S+"
    rf"|principalSet://iam\.googleapis\.com/(?P<pools>{POOL})/"
    r"(?:\*|group/\S+|attribute\.[a-z0-9_]+/\S+)"
    r"|deleted:(?:user|serviceAccount|group):[^\s:?]+\?uid=\d+"
)


class AccountBook(ABC):
    """The service accounts that there are; `identity.accounts` has it."""

    @abstractmethod
    def exists(self, email: str) -> bool:
        """Whether there is an account of this address, not deleted."""

    @abstractmethod
    def owner(self, email: str) -> tuple[str, bool] | None:
        """The project of an account and whether it is Google's agent there; None for none."""


class PoolBook(ABC):
    """The identity pools that there are; `identity.pools` has it."""

    @abstractmethod
    def exists(self, pool: str) -> bool:
        """By full name, with the project's id; a deleted one is not there."""


def check_member(cloud: Cloud, member: str, *, is_new: bool) -> None:
    """400 for an unknown form, and for what a policy newly names but is not there."""
    form = MEMBER.fullmatch(member)
    if not form:
        raise invalid(
            f"The member {member} is of an unknown type. Please set a valid type prefix for "
            "the member."
        )
    if not is_new:
        return
    kind, _, email = member.partition(":")
    if kind == "serviceAccount" and not cloud[AccountBook].exists(email):
        raise invalid(f"Service account {email} does not exist.")
    pool = form["pool"] or form["pools"]
    if pool and not _known(cloud, pool):
        raise invalid(
            f"Identity Pool does not exist ({pool}). Please check that you specified a valid "
            "resource name as returned in the `name` attribute in the configuration API."
        )


def _known(cloud: Cloud, pool: str) -> bool:
    """Google knows pools by their project's number only, as `name` has it.

    That a deleted pool cannot be named either is inferred.
    """
    kind, project, *rest = pool.split("/")
    if kind != "projects":
        return cloud[PoolBook].exists(pool)
    return project.isdigit() and cloud[PoolBook].exists(
        "/".join([kind, cloud[Containers].id(project), *rest])
    )
