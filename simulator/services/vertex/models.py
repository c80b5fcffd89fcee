"""The model registry: models, their versions and aliases."""

from __future__ import annotations

import re
from typing import Any

from simulator.api.calls import Call, Methods, Result
from simulator.api.errors import (
    ApiError,
    already_exists,
    failed_precondition,
    invalid,
    unimplemented,
)
from simulator.api.operations import Operations
from simulator.core.principal import Principal
from simulator.iam.decisions import Iam
from simulator.identity.accounts import Accounts
from simulator.services.storage.state import Storage
from simulator.services.vertex.containers import check_artifact, is_sklearn
from simulator.services.vertex.operations import start
from simulator.services.vertex.state import (
    LIST,
    Model,
    Vertex,
    apply_mask,
    listed,
    location_of,
    on_name,
    on_parent,
    project_of,
    region_of,
    require_key,
    update_paths,
)

method = Methods()

MODEL_ID = re.compile(r"[a-z_][a-z0-9_-]{0,62}")
ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]")
# model_service.proto, UpdateModelRequest, 4; labels are of either.
OF_MODELS = ("displayName", "description", "labels")
OF_VERSIONS = ("versionDescription", "labels")
UPLOADED = (*OF_MODELS, "versionDescription", "artifactUri", "containerSpec", "encryptionSpec")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MOST_SECONDS = 7200
REPOSITORY = re.compile(r"([a-z]+-[a-z]+\d|us|europe|asia)-docker\.pkg\.dev/([^/]+)/([^/]+)/.+")


def account_resource(call: Call, email: str) -> str:
    """The resource name of a service account; its project is in the address when it is unknown."""
    if account := call.cloud[Accounts].find(email):
        return account.name
    return f"projects/{email.partition('@')[2].partition('.')[0]}/serviceAccounts/{email}"


def shown(call: Call, model: Model, version: str) -> dict[str, Any]:
    """A version as `models.get` answers it."""
    vertex = call.cloud[Vertex]
    info = model.versions[version]
    # Which of two values a label then has is not documented.
    labels = model.labels | info.get("labels", {})
    answer = {
        "name": vertex.numbered(model.name),
        **info,
        **({"labels": labels} if labels else {}),
        "createTime": model.created,
        "updateTime": info["versionUpdateTime"],
        # As for every model with a container of its own.
        "supportedDeploymentResourcesTypes": ["DEDICATED_RESOURCES", "SHARED_RESOURCES"],
    }
    deployed = [
        {"endpoint": vertex.numbered(endpoint.name), "deployedModelId": deployed_id}
        for endpoint, deployed_id in vertex.deployments_of(model.name, version)
        if endpoint.deployed[deployed_id].predictor
    ]
    return answer | ({"deployedModels": deployed} if deployed else {})


@method(
    "aiplatform.projects.locations.models.upload",
    permission="aiplatform.models.upload",
    on=on_parent,
)
def upload(call: Call) -> Result:
    """Checks the request, image and artifact included; the operation copies the artifact."""
    cloud, vertex, body = call.cloud, call.cloud[Vertex], call.body
    given, project = body.get("model", {}), project_of(call.resource)
    image = given.get("containerSpec", {}).get("imageUri", "")
    if not 0 < len(given.get("displayName", "")) <= 128:
        raise invalid("A model needs a display_name of 1 to 128 characters.")
    if not image:
        raise invalid("A model that is not AutoML needs container_spec.image_uri.")
    aliases = given.get("versionAliases", [])
    _check_aliases(aliases)
    uri = given.get("artifactUri", "")
    if is_sklearn(image) and not uri:
        raise invalid(f"A model with the pre-built container {image} needs artifact_uri.")
    check_container(given["containerSpec"])
    if uri:
        _check_location(call, uri)
    if parent := body.get("parentModel"):
        name = vertex.model(vertex.normal(parent))[0].name
        if location_of(name) != call.resource:
            raise invalid(f"The parent model {parent} is not in {call.resource}.")
        if body.get("modelId"):
            raise invalid("model_id and parent_model exclude each other.")
    else:
        name = _new_name(call)
    reader = cloud[Accounts].create_agent("aiplatform", project)
    agent = reader.email
    if email := body.get("serviceAccount"):
        resource = account_resource(call, email)
        if project_of(resource) != project:
            raise invalid(f"service_account {email} does not belong to project {project}.")
        # Documented for models.copy only (gcp-facts/01, note A).
        call.check("iam.serviceAccounts.actAs", resource)
        reader = Principal(f"serviceAccount:{email}")
    _check_image(call, image, agent)
    if uri:
        _check_readable(call, uri, reader)
    if not parent:
        vertex.reserved.add(name)

    def run() -> dict[str, Any]:
        try:
            cloud[Operations].falter()
            require_key(call, given.get("encryptionSpec"), name)
            if uri:
                check_artifact(cloud[Storage].read(uri, reader), uri, image)
        finally:
            vertex.reserved.discard(name)
        now = cloud.clock.rfc3339()
        model = vertex.models.setdefault(name, Model(name, now))
        model.uploaded += 1
        version = str(model.uploaded)
        info = {key: given[key] for key in UPLOADED if given.get(key)}
        model.versions[version] = info | {
            "versionId": version,
            "versionAliases": [],
            "versionCreateTime": now,
            "versionUpdateTime": now,
            "etag": vertex.etag(),
        }
        for alias in (
            aliases if len(model.versions) > 1 else {**dict.fromkeys(aliases), "default": 0}
        ):
            _move_alias(model, version, alias)
        return {"model": vertex.numbered(name), "modelVersionId": version}

    return start(call, "UploadModel", name, run, "UploadModelResponse")


def _new_name(call: Call) -> str:
    model_id = call.body.get("modelId") or call.cloud.unique_id()
    if call.body.get("modelId") and not MODEL_ID.fullmatch(model_id):
        raise invalid(
            f"The model ID {model_id} must have at most 63 characters of [a-z0-9_-] and must not "
            "begin with a number or a hyphen."
        )
    name = f"{call.resource}/models/{model_id}"
    vertex = call.cloud[Vertex]
    if name in vertex.models or name in vertex.reserved:
        raise already_exists(f"Model `{vertex.numbered(name)}` already exists.")
    return name


def _check_aliases(aliases: list[str]) -> None:
    for alias in aliases:
        if not ALIAS.fullmatch(alias):
            raise invalid(f"The version alias {alias} does not match {ALIAS.pattern}.")


def _check_location(call: Call, uri: str) -> None:
    """gcp-facts/02_errors.md, "bucket region"."""
    name = uri.removeprefix("gs://").partition("/")[0]
    if not uri.startswith("gs://") or not name:
        raise invalid(f"artifact_uri {uri} is not a Cloud Storage URI.")
    bucket, region = call.cloud[Storage].buckets.get(name), region_of(call.resource)
    if bucket and (location := bucket.info["location"].lower()) != region:
        raise failed_precondition(
            f"The Cloud Storage bucket of `{uri}` is in location `{location}`. It must be in the "
            f"same regional location as the service location `{region}`."
        )


def check_container(spec: dict[str, Any]) -> None:
    """Discovery document, ModelContainerSpec; for the 200 variables docs custom-container.

    The pre-built containers run as they are: what would change their behaviour is not simulated.
    All of them start in time.
    """
    others = sorted(spec.keys() - {"imageUri", "deploymentTimeout"})
    if is_sklearn(image := spec["imageUri"]) and others:
        raise unimplemented(f"containerSpec.{others[0]} with the pre-built container {image}")
    for port in spec.get("ports", ()):
        if not 1 <= port.get("containerPort", 0) <= 65535:
            raise invalid(f"{port.get('containerPort', 0)} is no valid port of a container.")
    if float(spec.get("deploymentTimeout", "0s").rstrip("s")) > MOST_SECONDS:
        raise invalid("The limit for deployment_timeout is 2 hours.")
    variables = [item.get("name", "") for item in spec.get("env", ())]
    if wrong := [name for name in variables if not VARIABLE.fullmatch(name)]:
        raise invalid(f"{wrong[0]} is no valid name of an environment variable.")


def _check_readable(call: Call, uri: str, reader: Principal) -> None:
    """As GoogleCloudPlatform/vertex-ai-samples#3710 and others were refused, by the call itself.

    It names storage.objects.get alone, of an agent that could not list the bucket either.
    """
    name, _, folder = uri.removeprefix("gs://").partition("/")
    bucket, permission = call.cloud[Storage].buckets.get(name), "storage.objects.get"
    if bucket and not call.allowed(
        permission, f"{bucket.resource}/objects/{folder}", principal=reader
    ):
        raise failed_precondition(
            f"Service account `{reader.email}` does not have `[{permission}]` IAM permission(s) to "
            f'the directory "{uri}". Please either copy the files to the Google Cloud Storage '
            "bucket owned by your project, or grant the required IAM permission(s) to the service "
            "account."
        )


def _check_image(call: Call, image: str, agent: str) -> None:
    """Images are pulled by the service agent whoever uploads (gcp-facts/01, "Image pulls").

    Recorded with its status in front, as gcloud shows what a call says, not an operation.
    """
    found = REPOSITORY.fullmatch(image)
    if not found or found[2].startswith("vertex-ai"):
        return
    repository = f"projects/{found[2]}/locations/{found[1]}/repositories/{found[3]}"
    permission, principal = (
        "artifactregistry.repositories.downloadArtifacts",
        f"serviceAccount:{agent}",
    )
    if not call.allowed(permission, repository, principal=Principal(principal)):
        raise failed_precondition(
            f"Vertex AI Service Agent {agent} does not have permission to access Artifact Registry "
            f"repository {repository}."
        )


def _move_alias(model: Model, version: str, alias: str) -> None:
    for number, info in model.versions.items():
        others = [item for item in info["versionAliases"] if item != alias]
        info["versionAliases"] = [*others, alias] if number == version else others


@method("aiplatform.projects.locations.models.get", permission="aiplatform.models.get", on=on_name)
def get_model(call: Call) -> Result:
    return shown(call, *call.cloud[Vertex].model(call.params["name"]))


@method(
    "aiplatform.projects.locations.models.list",
    permission="aiplatform.models.list",
    on=on_parent,
    reads=LIST,
)
def list_models(call: Call) -> Result:
    found = [
        shown(call, *call.cloud[Vertex].model(name))
        for name in call.cloud[Vertex].models
        if location_of(name) == call.resource
    ]
    return listed(call, "models", found, "model")


# An inference: no source says what listVersions checks. Whoever reads versions holds models.get
# anyway, so a role that satisfies this one satisfies either.
@method(
    "aiplatform.projects.locations.models.listVersions",
    permission="aiplatform.models.list",
    on=on_name,
    reads=LIST,
)
def list_versions(call: Call) -> Result:
    model, _ = call.cloud[Vertex].model(call.resource)
    found = [shown(call, model, version) for version in model.versions]
    return listed(call, "models", found, "model")


@method(
    "aiplatform.projects.locations.models.patch",
    permission="aiplatform.models.update",
    on=on_name,
    reads="updateMask",
)
def patch_model(call: Call) -> Result:
    """model_service.proto, UpdateModelRequest, 1-6: a name with a version is about its fields, any
    other about the model's. The words of the precondition error are ours.

    A model's names are kept with each of its versions, for each is shown with them.
    """
    name = call.params["name"].removesuffix("@-")
    model, version = call.cloud[Vertex].model(name)
    mask = call.params.get("updateMask")
    mutable, others = (OF_VERSIONS, OF_MODELS) if "@" in name else (OF_MODELS, OF_VERSIONS)
    if wrong := sorted(update_paths(mask) & set(others) - set(mutable)):
        raise failed_precondition(
            f"The field `{wrong[0]}` cannot be updated by the name {call.params['name']}."
        )
    _change(call, model, version)
    if "@" in name:
        apply_mask(model.versions[version], call.body, mask, mutable)
        return shown(call, model, version)
    changed: dict[str, Any] = {"labels": model.labels}
    apply_mask(changed, call.body, mask, mutable)
    model.labels = changed.pop("labels", {})
    gone = update_paths(mask) - changed.keys()
    for info in model.versions.values():
        info |= changed
        for key in gone & {"displayName", "description"}:
            info.pop(key, None)
    return shown(call, model, version)


def _change(call: Call, model: Model, version: str) -> None:
    info = model.versions[version]
    if call.body.get("etag", info["etag"]) != info["etag"]:
        raise ApiError(409, "ABORTED", "The model changed since this etag was read.")
    info["versionUpdateTime"] = call.cloud.clock.rfc3339()
    info["etag"] = call.cloud[Vertex].etag()


# An inference: no source says what mergeVersionAliases checks.
@method(
    "aiplatform.projects.locations.models.mergeVersionAliases",
    permission="aiplatform.models.update",
    on=on_name,
)
def merge_aliases(call: Call) -> Result:
    model, version = call.cloud[Vertex].model(call.params["name"])
    aliases = call.body.get("versionAliases", [])
    _check_aliases([alias.removeprefix("-") for alias in aliases])
    if "-default" in aliases:
        raise invalid("The default alias can be moved to another version but not removed.")
    _change(call, model, version)
    for alias in aliases:
        if alias.startswith("-"):
            kept = model.versions[version]["versionAliases"]
            model.versions[version]["versionAliases"] = [a for a in kept if a != alias[1:]]
        else:
            _move_alias(model, version, alias)
    return shown(call, model, version)


@method(
    "aiplatform.projects.locations.models.delete",
    permission="aiplatform.models.delete",
    on=on_name,
)
def delete_model(call: Call) -> Result:
    vertex, (model, _) = call.cloud[Vertex], call.cloud[Vertex].model(call.resource)
    vertex.require_undeployed(model.name)

    def run() -> dict[str, Any]:
        call.cloud[Operations].falter()
        vertex.require_undeployed(model.name)
        vertex.models.pop(model.name, None)
        call.cloud[Iam].forget(model.name)
        return {}

    return start(call, "DeleteModel", model.name, run)


# An inference: no source says what deleteVersion checks.
@method(
    "aiplatform.projects.locations.models.deleteVersion",
    permission="aiplatform.models.delete",
    on=on_name,
)
def delete_version(call: Call) -> Result:
    vertex, reference = call.cloud[Vertex], call.params["name"]
    if "@" not in reference:
        raise invalid("The name must include the version to delete, as in `models/ID@2`.")
    model, version = vertex.model(reference)
    _check_deletable(call, model, version)

    def run() -> dict[str, Any]:
        call.cloud[Operations].falter()
        if version in model.versions:
            _check_deletable(call, model, version)
            del model.versions[version]
        return {}

    return start(call, "DeleteModelVersion", model.name, run)


def _check_deletable(call: Call, model: Model, version: str) -> None:
    call.cloud[Vertex].require_undeployed(model.name, version)
    if "default" in model.versions[version]["versionAliases"]:
        raise failed_precondition(
            f"Version {version} is the default version of the model. Make another version the "
            "default first, or delete the model."
        )
