"""What was measured of others, kept in `data`: the official gcp plugin, Google's roles."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from simulator.api.discovery import HOSTS

Exchange = dict[str, Any]
COMMANDS = ("up", "preview", "refresh", "update", "destroy")

GROUP = "platform-team@example.com"
PLATFORM = "platform@example.com"
DEPLOYER = "deployer@iot-prod.iam.gserviceaccount.com"
INFERENCE = "telemetry@iot-prod.iam.gserviceaccount.com"
# Accounts of the programs that act in them; nothing in the programs gives them enough.
ACCOUNTS = (DEPLOYER, INFERENCE, "serving@iot-prod.iam.gserviceaccount.com")
AGENTS_POWERS = ("roles/bigquery.dataEditor", "roles/pubsub.editor")
PUBSUB_AGENT = "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
# The recorder did not ask whether an agent may use the key that a program gives its service.
VERTEX_AGENT = "serviceAccount:service-123456789012@gcp-sa-aiplatform.iam.gserviceaccount.com"
STORAGE_AGENT = "serviceAccount:service-123456789012@gs-project-accounts.iam.gserviceaccount.com"
KEY_POWERS = ("roles/cloudkms.cryptoKeyEncrypterDecrypter",)
# What the recorded programs switch on themselves.
ENABLED_BY_PROGRAM = {"core": ("aiplatform", "pubsub"), "more": ("cloudquotas",)}
POWERS = (
    *("roles/owner", "roles/iam.serviceAccountTokenCreator", "roles/iam.denyAdmin"),
    *("roles/orgpolicy.policyAdmin", "roles/aiplatform.admin", "roles/bigquery.dataOwner"),
    *("roles/storage.admin", "roles/secretmanager.admin", "roles/cloudkms.admin"),
)


DATA = Path(__file__).parent / "data"
CONTRACT = DATA / "provider-contract"
"""Two programs, each with every request of the official plugin and the state it left."""


def text(path: Path) -> str:
    """The content of a compressed file, named without `.gz`."""
    return gzip.decompress(path.with_name(f"{path.name}.gz").read_bytes()).decode()


def load(path: Path) -> list[Exchange]:
    return [json.loads(line) for line in text(path).splitlines()]


def before(folder: str) -> dict[str, Any]:
    """The seed of what was there before a recorded program ran: two projects, a platform team."""
    later = ENABLED_BY_PROGRAM[folder]
    apis = [f"{name}.googleapis.com" for name in HOSTS if name not in later]
    return {
        "organization": {"id": "1"},
        "projects": [
            {"id": id, "number": number, "parent": "organizations/1", "services": apis}
            for id, number in (("iot-prod", "123456789012"), ("ml-source", "210987654321"))
        ],
        "agents": [{"api": api, "project": "iot-prod"} for api in ("aiplatform", "pubsub")],
        "groups": {GROUP: [f"user:{PLATFORM}", *(f"serviceAccount:{it}" for it in ACCOUNTS)]},
        "roles": [
            {
                "name": "projects/ml-source/roles/modelReader",
                "permissions": ["aiplatform.models.get"],
            }
        ],
        "grants": [
            {"resource": "organizations/1", "role": role, "member": member}
            for member, roles in (
                (f"group:{GROUP}", POWERS),
                (PUBSUB_AGENT, AGENTS_POWERS),
                (VERTEX_AGENT, KEY_POWERS),
                (STORAGE_AGENT, KEY_POWERS),
            )
            for role in roles
        ],
    }
