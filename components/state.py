"""Where Pulumi keeps the state of other stacks: a bucket, and a key for it and their secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_gcp as gcp

from components.encryption import not_yet

DAY: Final = 24 * 60 * 60
RING: Final = "pulumi-state"
KEY: Final = "state"
ENCRYPTER: Final = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
DECRYPTER: Final = "roles/cloudkms.cryptoKeyDecrypter"
OBJECT_USER: Final = "roles/storage.objectUser"
OBJECT_VIEWER: Final = "roles/storage.objectViewer"
AUDITED: Final = ("cloudkms.googleapis.com", "storage.googleapis.com")


@dataclass(frozen=True)
class StateArgs:
    project: str
    location: str
    """A region; a bucket and its key have to be in the same place."""
    bucket: str
    writers: tuple[str, ...]
    """Members who run `pulumi up`."""
    readers: tuple[str, ...]
    """Members who run `pulumi preview`, and change no state."""
    protect: bool = True


class State(pulumi.ComponentResource):
    """Owns: the state bucket, its key, who may use both, and the log of who did.

    Leaves alone: the state in the bucket, and the APIs, which have to be on.

    There is no retention policy: Pulumi writes a stack's file anew and deletes its locks, which
    Cloud Storage refuses while objects are retained. Versions and soft deletion keep what was. Key
    ring and key cannot be deleted; destroying the versions of the key makes every state and secret
    unreadable for good, so they are protected, and scheduled for 30 days.
    """

    backend: pulumi.Output[str]
    """For `pulumi login`."""
    secrets_provider: pulumi.Output[str]
    """For `pulumi stack init --secrets-provider`."""

    def __init__(
        self, name: str, args: StateArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("predictive-maintenance:components:State", name, None, opts)
        # Names are plain strings, so that a first preview knows them: a policy can judge what is
        # granted on them, and `access adopt` can look for them.
        ring_name = f"projects/{args.project}/locations/{args.location}/keyRings/{RING}"
        self._key_name = f"{ring_name}/cryptoKeys/{KEY}"
        ring = gcp.kms.KeyRing(
            "state",
            project=args.project,
            location=args.location,
            name=RING,
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        self._key = gcp.kms.CryptoKey(
            "state",
            key_ring=ring_name,
            name=KEY,
            purpose="ENCRYPT_DECRYPT",
            rotation_period=f"{90 * DAY}s",
            destroy_scheduled_duration=f"{30 * DAY}s",
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect, depends_on=[ring]),
        )
        agent = gcp.storage.get_project_service_account(
            project=args.project, opts=pulumi.InvokeOptions(parent=self)
        )
        bucket = gcp.storage.Bucket(
            "state",
            name=args.bucket,
            project=args.project,
            location=args.location,
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            versioning={"enabled": True},
            soft_delete_policy={"retention_duration_seconds": 30 * DAY},
            # Both have to hold: the last ten versions stay however old they are.
            lifecycle_rules=[
                {
                    "action": {"type": "Delete"},
                    "condition": {"num_newer_versions": 10, "days_since_noncurrent_time": 90},
                },
            ],
            encryption={"default_kms_key_name": self._key_name},
            force_destroy=False,
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.protect,
                depends_on=[self._use_key("storage-agent", ENCRYPTER, agent.member)],
                hooks=pulumi.ResourceHookBinding(
                    on_error=[pulumi.ErrorHook("key-in-use", not_yet)]
                ),
            ),
        )
        for service in AUDITED:
            gcp.projects.IAMAuditConfig(
                service.partition(".")[0],
                project=args.project,
                service=service,
                audit_log_configs=[
                    {"log_type": kind} for kind in ("ADMIN_READ", "DATA_READ", "DATA_WRITE")
                ],
                opts=pulumi.ResourceOptions(parent=self),
            )
        for use, members, on_key, on_bucket in (
            ("writer", args.writers, ENCRYPTER, OBJECT_USER),
            ("reader", args.readers, DECRYPTER, OBJECT_VIEWER),
        ):
            for member in members:
                self._use_key(f"{use}-{member}", on_key, member)
                gcp.storage.BucketIAMMember(
                    f"{use}-{member}",
                    bucket=args.bucket,
                    role=on_bucket,
                    member=member,
                    opts=pulumi.ResourceOptions(parent=self, depends_on=[bucket]),
                )
        self.backend = pulumi.Output.concat("gs://", bucket.name)
        self.secrets_provider = pulumi.Output.concat("gcpkms://", self._key.id)
        self.register_outputs({"backend": self.backend, "secretsProvider": self.secrets_provider})

    def _use_key(self, name: str, role: str, member: str) -> pulumi.Resource:
        return gcp.kms.CryptoKeyIAMMember(
            name,
            crypto_key_id=self._key_name,
            role=role,
            member=member,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self._key]),
        )
