"""A key of one's own: which of Google's agents use it, and what waits until they may."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_gcp as gcp

from components import permissions as table
from components.settings import Settings

NOT_YET: Final = (
    "ensure that your Cloud Storage service account has been authorized",
    "did not have the necessary permissions configured to support this operation",
    "grant Cloud KMS CryptoKey Encrypter/Decrypter role to BigQuery service account",
    "cloudkms.cryptoKeyVersions.useTo",
)
"""What is said while the grant on the key is on its way, by Cloud Storage
(google-cloud-java#3594), Pub/Sub (simulator/services/pubsub/encryption.py), BigQuery
(terraform-docs-samples#334), and, inferred, by Vertex AI, which names the permission."""
PAUSE: Final = 6


async def not_yet(args: pulumi.ErrorHookArgs) -> bool:
    """Whether to make again what a key encrypts: access to the key takes minutes to get about.

    Nobody can become Google's agents to ask what they hold by now. The engine tries 100 times at
    most, so for 10 minutes.
    """
    if not any(said in args.errors[0] for said in NOT_YET):
        return False
    await asyncio.sleep(PAUSE)
    return True


@dataclass(frozen=True)
class EncryptionArgs:
    settings: Settings
    key: str


class Encryption(pulumi.ComponentResource):
    """Owns: the use of the key, for each of Google's agents that encrypts with it.

    Leaves alone: the key, its versions, and everybody else's use of it. A grant stays when the
    stack goes, or when another key is named: what was encrypted stays readable, and others in the
    project may use the same key. The key's owner takes them away, or disables the key.
    """

    hooks: pulumi.ResourceHookBinding
    """Of whatever is encrypted: it is tried again until its agent may use the key."""

    def __init__(
        self, name: str, args: EncryptionArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("predictive-maintenance:components:Encryption", name, None, opts)
        self._settings, self._key = args.settings, args.key
        vertex = self._agent(table.AGENT, "aiplatform")
        for agent in args.settings.key_users:
            if agent == table.PUBSUB_AGENT:
                self._let_use(agent, self._agent(agent, "pubsub"))
            else:
                self._let_use(agent, _beside(vertex, agent))
        self.hooks = pulumi.ResourceHookBinding(on_error=[pulumi.ErrorHook("key-in-use", not_yet)])
        self.register_outputs({})

    def _agent(self, identity: str, api: str) -> pulumi.Output[str]:
        return gcp.projects.ServiceIdentity(
            f"{identity.replace(' ', '-')}-of-key",
            project=self._settings.project,
            service=f"{api}.googleapis.com",
            opts=pulumi.ResourceOptions(parent=self),
        ).member

    def _let_use(self, identity: str, member: pulumi.Output[str]) -> None:
        gcp.kms.CryptoKeyIAMMember(
            f"{identity.replace(' ', '-')}-key",
            crypto_key_id=self._key,
            role=table.KEY_USER,
            member=member,
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
        )


def _beside(member: pulumi.Output[str], agent: str) -> pulumi.Output[str]:
    """An agent of the project that `member` is an agent of: names differ but for its number.

    `access bootstrap` has Google make Cloud Storage's and BigQuery's, so that nobody of the stack
    needs to ask for them, which of BigQuery's takes bigquery.jobs.create (bigquery/docs/reference,
    projects.getServiceAccount).
    """
    number = member.apply(lambda it: re.findall(r"\d+", it)[0])
    return pulumi.Output.format(f"serviceAccount:{table.AGENTS[agent]}", number)
