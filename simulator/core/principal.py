"""Who calls, as every part of a cloud names them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. `sets` are the principalSet:// members a federated identity also matches.

    `user_project` is the project that its token was asked to be charged to.
    """

    member: str
    sets: tuple[str, ...] = ()
    user_project: str = ""

    @property
    def email(self) -> str:
        """The address of an account, or the whole `principal://…` of a federated identity."""
        kind, _, rest = self.member.partition(":")
        return self.member if kind == "principal" else rest
