"""The state bucket, run once with a state of its own (docs/how-to/state.md).

It is a program by itself, because no stack can keep its state in a bucket that it makes.
"""

import sys
from pathlib import Path

import pulumi
import pulumi_gcp as gcp

sys.path.insert(0, str(Path(__file__).parents[1]))

from components.state import State, StateArgs

config = pulumi.Config()
project = config.require("project")
state = State(
    "state",
    StateArgs(
        project=project,
        location=config.require("location"),
        bucket=f"{project}-pulumi-state",
        writers=tuple(config.require_object("writers")),
        readers=tuple(config.require_object("readers")),
        protect=config.require_bool("protect"),
    ),
    pulumi.ResourceOptions(providers=[gcp.Provider("owner", project=project)]),
)
pulumi.export("backend", state.backend)
pulumi.export("secretsProvider", state.secrets_provider)
