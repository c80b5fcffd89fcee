"""The policy pack, as Pulumi starts it, and as a command: `python FOLDER report --help`."""

import sys
from importlib import import_module
from pathlib import Path

# The folder may have any name, and another one than when this was written.
sys.path.insert(0, str(Path(__file__).resolve().parent))

import_module("gcp_access.start").main()
