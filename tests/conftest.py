"""What all tests share: the Pulumi CLI that a rehearsal would use, and a way to show numbers."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

from rehearsal.toolchain import pulumi_cli

os.environ["PATH"] = os.pathsep.join([str(pulumi_cli().parent), os.environ.get("PATH", "")])

# Machines are busy. Loaded here also because CPython 3.11 may fail to compile it ("AST constructor
# recursion depth mismatch") once an engine has run in this process.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole rehearsals first: the short tests then fill what a processor has left."""
    items.sort(key=lambda item: "rehearsal" not in item.path.parts)


@pytest.fixture
def show(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Prints a line at the end of the whole run, from whichever process the test ran in."""
    return lambda line: record_property("shown", line)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for report in terminalreporter.getreports("passed"):
        for name, line in report.user_properties:
            if name == "shown":
                terminalreporter.write_line(line)
