"""Where model artifacts are kept: a bucket, and the objects of each model that is uploaded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pulumi
import pulumi_gcp as gcp

from components.models import files

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
    files: Mapping[str, Mapping[str, Path]]
    """Model id → the files to upload for it, by their names in the artifact."""
    training: Mapping[str, Path] = field(default_factory=dict)
    """Model id → what it was trained on, kept for who compares with it."""


@dataclass(frozen=True)
class Artifact:
    """An uploaded model artifact: the folder that Vertex AI reads, and its content's SHA-256."""

    uri: pulumi.Output[str]
    sha256: str
    training: pulumi.Output[str] | None = None
    """`gs://` name of what the model was trained on."""


def files_of(artifact: Path, image: str) -> Mapping[str, Path]:
    """The files of an artifact, by the names under which a container with `image` finds them."""
    if artifact.is_dir():
        return files(artifact)
    # Vertex AI's scikit-learn containers look for exactly this file name.
    return {"model.joblib" if "/prediction/sklearn-" in image else artifact.name: artifact}


def digest(files: Mapping[str, Path]) -> str:
    """SHA-256 of the one file, or of the digests of all with their names."""
    each = {name: hashlib.sha256(it.read_bytes()).hexdigest() for name, it in files.items()}
    if len(each) == 1:
        return next(iter(each.values()))
    text = "".join(f"{sha256}  {name}\n" for name, sha256 in each.items())
    return hashlib.sha256(text.encode()).hexdigest()


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

    An object's name holds the hash of the artifact's content, and so does its resource's: a new
    artifact is new objects, and the old ones stay until no deployed model reads them any more. What
    was a canary's and becomes its model's own stays the same resource.
    """

    by_model: Mapping[str, Artifact]

    def __init__(
        self, name: str, args: UploadsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("predictive-maintenance:components:Uploads", name, None, opts)
        self._bucket = args.bucket
        self.by_model = {
            id: self._upload(id, named, args.training.get(id)) for id, named in args.files.items()
        }
        self.register_outputs({})

    def _upload(self, model: str, files: Mapping[str, Path], data: Path | None) -> Artifact:
        sha256 = digest(files)
        folder = f"models/{model}/{sha256[:12]}"
        uploaded = [
            self._store(
                model,
                f"artifact-{sha256[:8]}" + (f"-{name}" if len(files) > 1 else ""),
                f"{folder}/{name}",
                path,
                "application/octet-stream",
                before="artifact" + (f"-{name}" if len(files) > 1 else ""),
            )
            for name, path in files.items()
        ]
        # Known when all of them are there.
        folder_there = pulumi.Output.all(*uploaded).apply(lambda _: folder)
        return Artifact(
            pulumi.Output.concat("gs://", self._bucket, "/", folder_there),
            sha256,
            self._keep(model, data) if data else None,
        )

    def _keep(self, model: str, data: Path) -> pulumi.Output[str]:
        """Beside the artifact's folder, not in it: containers load all that is there."""
        sha256 = hashlib.sha256(data.read_bytes()).hexdigest()
        stored = self._store(
            model,
            f"training-{sha256[:8]}",
            f"models/{model}/training/{sha256[:12]}{data.suffix}",
            data,
            "text/csv" if data.suffix == ".csv" else "application/jsonl",
            before="training",
        )
        return pulumi.Output.concat("gs://", self._bucket, "/", stored)

    def _store(
        self, model: str, resource: str, name: str, path: Path, content_type: str, before: str
    ) -> pulumi.Output[str]:
        """The name of an object, once it is there; `before` is what its resource was called when
        names did not hold the content."""
        return gcp.storage.BucketObject(
            f"{model}-{resource}",
            bucket=self._bucket,
            name=name,
            source=pulumi.FileAsset(str(path)),
            content_type=content_type,
            opts=pulumi.ResourceOptions(
                parent=self, aliases=[pulumi.Alias(name=f"{model}-{before}")]
            ),
        ).name
