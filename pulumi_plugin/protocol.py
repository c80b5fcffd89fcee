"""Pulumi's protocol: the messages and services that the SDK generates, without the SDK around them.

`import pulumi.runtime.proto` runs all of `pulumi` first, which is for programs and takes longer
than the rest of a plugin's start. The generated modules need nothing of it, so their folder is
loaded as a package of its own. The messages are the same classes either way.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING


def _generated() -> ModuleType:
    sdk = importlib.util.find_spec("pulumi")
    if sdk is None or sdk.origin is None:
        raise ImportError("the package pulumi is not installed")
    file = Path(sdk.origin).parent / "runtime" / "proto" / "__init__.py"
    spec = importlib.util.spec_from_file_location("pulumi_protocol", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be loaded")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if TYPE_CHECKING:
    from pulumi.runtime import proto as proto
else:
    proto = _generated()
