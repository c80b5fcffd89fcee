"""Serves the pack to Pulumi; a command where one is named."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from pulumi_policy import PolicyPack

from . import NAME
from .config import ConfigError, load
from .pack import Pack, policies
from .rules import RULES


def main() -> None:
    if sys.argv[1:2] == ["report"]:  # Pulumi gives its own address first
        from .command import report  # which the engine need not wait for

        report(sys.argv[2:], f"python {Path(__file__).parents[1].name} report")
    try:
        configs = load({rule.id: rule.mandatory for rule in RULES})
    except ConfigError as error:
        sys.exit(str(error))
    gc.freeze()  # the SDK and the rules stay; collecting would look through them for each preview
    PolicyPack(NAME, policies(Pack(RULES, configs)))
