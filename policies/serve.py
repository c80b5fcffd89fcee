"""Starts the pack: its own server on releases of the SDK that it knows, the SDK's on any other."""

from __future__ import annotations

from importlib import metadata
from typing import Final

from pulumi_policy import Policy, PolicyPack

KNOWN: Final = ("1.21.0",)
"""Releases of pulumi_policy whose server was read and tried with this one."""


def serve(name: str, policies: list[Policy]) -> None:
    """Serve the pack to the engine that started this process; does not return."""
    if metadata.version("pulumi_policy") in KNOWN:
        from policies import server  # its imports are the SDK's own: others may not have them

        server.serve(name, policies)
    else:
        PolicyPack(name, policies)
