"""Tests that run the engine find the same Pulumi CLI as a rehearsal does."""

import os

from rehearsal.toolchain import pulumi_cli

os.environ["PATH"] = os.pathsep.join([str(pulumi_cli().parent), os.environ.get("PATH", "")])
