"""Where model artifacts are kept: a bucket, and the objects of each model that is uploaded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pulumi
import pulumi_gcp as gcp

DAY = 24 * 60 * 60


@dataclass(frozen=True)
class ArtifactsArgs:
    project: str
    region: str
    bucket: str
    protect: bool


@dataclass(frozen=True)
class UploadsArgs:
    bucket: pulumi.Input[str]
    files: Mapping[str, Path]
    """Model id → the file to upload for it."""
    training: Mapping[str, Path] = field(default_factory=dict)
    """Model id → what it was trained on, kept for who compares with it."""


@dataclass(frozen=True)
class Artifact:
    """An uploaded model artifact: the folder that Vertex AI reads, and the file's SHA-256."""

    uri: pulumi.Output[str]
    sha256: str
    training: pulumi.Output[str] | None = None
    """`gs://` name of what the model was trained on."""


class Artifacts(pulumi.ComponentResource):
    """Owns: the artifact bucket.

    Leaves alone: what is in it.
    """

    bucket: pulumi.Output[str]

    def __init__(
        self, name: str, args: ArtifactsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("predictive-maintenance:components:Artifacts", name, None, opts)
        bucket = gcp.storage.Bucket(
            "artifacts",
            name=args.bucket,
            project=args.project,
            location=args.region,
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            versioning={"enabled": True},
            lifecycle_rules=[
                {"action": {"type": "Delete"}, "condition": {"num_newer_versions": 5}},
            ],
            soft_delete_policy={"retention_duration_seconds": 7 * DAY},
            force_destroy=not args.protect,
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        self.bucket = bucket.name
        self.register_outputs({"bucket": self.bucket})


class Uploads(pulumi.ComponentResource):
    """Owns: the objects of the configured models.

    Leaves alone: other objects in the bucket, such as what training stores there.

    An object's name holds the hash of its content, so a new artifact is a new object: the old one
    stays until no deployed model reads it any more.
    """

    by_model: Mapping[str, Artifact]

    def __init__(
        self, name: str, args: UploadsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("predictive-maintenance:components:Uploads", name, None, opts)
        self._bucket = args.bucket
        self.by_model = {
            id: self._upload(id, path, args.training.get(id)) for id, path in args.files.items()
        }
        self.register_outputs({})

    def _upload(self, model: str, path: Path, data: Path | None) -> Artifact:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        uploaded = gcp.storage.BucketObject(
            f"{model}-artifact",
            bucket=self._bucket,
            # Vertex AI's scikit-learn containers look for exactly this file name.
            name=f"models/{model}/{sha256[:12]}/model.joblib",
            source=pulumi.FileAsset(str(path)),
            content_type="application/octet-stream",
            opts=pulumi.ResourceOptions(parent=self),
        )
        folder = uploaded.name.apply(lambda name: name.rpartition("/")[0])
        return Artifact(
            pulumi.Output.concat("gs://", self._bucket, "/", folder),
            sha256,
            self._store(model, data) if data else None,
        )

    def _store(self, model: str, data: Path) -> pulumi.Output[str]:
        """Beside the artifact's folder, not in it: containers load all that is there."""
        digest = hashlib.sha256(data.read_bytes()).hexdigest()[:12]
        stored = gcp.storage.BucketObject(
            f"{model}-training",
            bucket=self._bucket,
            name=f"models/{model}/training/{digest}{data.suffix}",
            source=pulumi.FileAsset(str(data)),
            content_type="text/csv" if data.suffix == ".csv" else "application/jsonl",
            opts=pulumi.ResourceOptions(parent=self),
        )
        return pulumi.Output.concat("gs://", self._bucket, "/", stored.name)
