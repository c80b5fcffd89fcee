"""What each identity of a stack needs, as data: what the policy pack knows of the stack."""

from __future__ import annotations

from typing import Any

from components import permissions as table
from components.settings import Settings


def needs(settings: Settings) -> dict[str, Any]:
    """Identity → its account, and permission → on what; and what each custom role holds.

    Roles that have to exist before the stack does are not among them.
    """
    identities: dict[str, dict[str, Any]] = {}
    roles: dict[str, set[str]] = {}
    for need in table.needs(settings.capabilities):
        member = settings.member(need.identity) if need.identity in table.ACCOUNTS else None
        known = identities.setdefault(need.identity, {"member": member, "needs": {}})
        known["needs"].setdefault(need.permission, set()).add(need.on)
        if need.role not in table.BEFORE:
            roles.setdefault(settings.role_id(need.role), set()).add(need.permission)
    return {
        "identities": {
            name: {
                **identity,
                "needs": {
                    permission: sorted(places)
                    for permission, places in sorted(identity["needs"].items())
                },
            }
            for name, identity in sorted(identities.items())
        },
        "roles": {name: sorted(held) for name, held in sorted(roles.items())},
    }
