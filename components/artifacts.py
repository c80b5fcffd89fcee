"""Where model artifacts are kept: a bucket, and the objects of each model that is uploaded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
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
    key: str | None = None
    """Encrypts what is stored from now on."""
    hooks: pulumi.ResourceHookBinding | None = None


@dataclass(frozen=True)
class Upload:
    """What is uploaded of a version of `model`."""

    model: str
    files: Mapping[str, Path]
    """By their names in the artifact."""
    training: Path | None = None
    """What it was trained on, kept for who compares with it."""
    canary: bool = False


@dataclass(frozen=True)
class UploadsArgs:
    bucket: pulumi.Input[str]
    versions: Mapping[str, Upload]
    """By the version's name; a model's own before its canary, which may have the same files."""


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


def former_urn(component: str, type_: str, *name: str) -> str:
    """What a component's resource was called before its name held its content, for `aliases`.

    As text: of a `pulumi.Alias` the SDK makes eight outputs, and waits for all outputs over and
    over; with 100 models that was a fifth of a preview.
    """
    types = f"predictive-maintenance:components:{component}${type_}"
    return f"urn:pulumi:{pulumi.get_stack()}::{pulumi.get_project()}::{types}::{'-'.join(name)}"


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
            encryption={"default_kms_key_name": args.key} if args.key else None,
            force_destroy=not args.protect,
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect, hooks=args.hooks),
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

    by_version: Mapping[str, Artifact]

    def __init__(
        self, name: str, args: UploadsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("predictive-maintenance:components:Uploads", name, None, opts)
        self._bucket = args.bucket
        self._stored: dict[str, pulumi.Output[str]] = {}
        self.by_version = {name: self._upload(it) for name, it in args.versions.items()}
        self.register_outputs({})

    def _upload(self, version: Upload) -> Artifact:
        sha256 = digest(version.files)
        folder = f"models/{version.model}/{sha256[:12]}"
        uploaded = [
            self._store(
                version,
                ("artifact", sha256[:8], *([name] if len(version.files) > 1 else [])),
                f"{folder}/{name}",
                path,
                "application/octet-stream",
            )
            for name, path in version.files.items()
        ]
        return Artifact(
            # Known when all of them are there.
            pulumi.Output.all(self._bucket, *uploaded).apply(lambda of: f"gs://{of[0]}/{folder}"),
            sha256,
            self._keep(version, version.training) if version.training else None,
        )

    def _keep(self, version: Upload, data: Path) -> pulumi.Output[str]:
        """Beside the artifact's folder, not in it: containers load all that is there."""
        sha256 = hashlib.sha256(data.read_bytes()).hexdigest()
        stored = self._store(
            version,
            ("training", sha256[:8]),
            f"models/{version.model}/training/{sha256[:12]}{data.suffix}",
            data,
            "text/csv" if data.suffix == ".csv" else "application/jsonl",
        )
        return pulumi.Output.concat("gs://", self._bucket, "/", stored)

    def _store(
        self, version: Upload, what: tuple[str, ...], name: str, path: Path, content_type: str
    ) -> pulumi.Output[str]:
        """The name of an object, once it is there; `what` it is, its digest, and its file's name.

        Before names held the content, resources were called the same without the digest.
        """
        if name not in self._stored:
            kind, _, *file = what
            former = former_urn(
                "Uploads", "gcp:storage/bucketObject:BucketObject", version.model, kind, *file
            )
            self._stored[name] = gcp.storage.BucketObject(
                "-".join([version.model, *what]),
                bucket=self._bucket,
                name=name,
                source=pulumi.FileAsset(str(path)),
                content_type=content_type,
                opts=pulumi.ResourceOptions(
                    parent=self, aliases=None if version.canary else [former]
                ),
            ).name
        return self._stored[name]
