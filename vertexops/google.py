"""Google's own clients, as this provider uses them: JSON in, JSON out, one kind of error.

Nothing here overrides a host. `HTTPS_PROXY`, `SSL_CERT_FILE` and `REQUESTS_CA_BUNDLE` are honoured
by `requests`, which the REST transports stand on. Imports are late: `aiplatform_v1` takes more than
a second, and a plugin that only checks and diffs never needs it.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from pulumi_plugin.kinds import ProviderError
from pulumi_plugin.values import is_known
from vertexops.errors import GoogleError, Json, http_error

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
EMAIL_SCOPE = "https://www.googleapis.com/auth/userinfo.email"
USERINFO = "https://openidconnect.googleapis.com/v1/userinfo"
SOMEONE = "the identity of the application default credentials"
UNKNOWN = "unknown"
TIMEOUT = 60.0


@contextmanager
def google_errors() -> Iterator[None]:
    """Every way a call fails, as `GoogleError` or, when nobody is signed in, `ProviderError`."""
    import requests
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import DefaultCredentialsError, RefreshError, TransportError

    try:
        yield
    except GoogleAPICallError as error:
        raise http_error(int(error.code or 0), _json(error.response)) from error
    except DefaultCredentialsError as error:
        raise ProviderError(f"no Google credentials: {error}") from error
    except RefreshError as error:
        raise _refused_token(error) from error
    except (TransportError, requests.RequestException) as error:
        raise GoogleError(0, "", str(error)) from error


def _json(response: Any) -> Any:
    try:
        return response.json()
    except ValueError:
        return response.text


def _refused_token(error: Any) -> GoogleError:
    """google-auth puts the answer's body among the arguments of its exception."""
    for argument in error.args:
        try:
            body = argument if isinstance(argument, dict) else json.loads(argument)
        except (TypeError, ValueError):
            continue
        if isinstance(body, dict) and "error" in body:
            code = body["error"].get("code", 401) if isinstance(body["error"], dict) else 401
            return http_error(code, body)
    return GoogleError(0 if error.retryable else 401, "UNAUTHENTICATED", str(error))


def _account(credentials: Any) -> str:
    """The service account of some credentials; federated ones have None for an address."""
    email = getattr(credentials, "service_account_email", "") or ""
    return email if "@" in email else ""


class Google:
    """One identity: the application default credentials, or an account impersonated with them."""

    def __init__(self, project: str, region: str, impersonate: str) -> None:
        self.project, self.region, self.impersonate = project, region, impersonate
        self._lock = threading.RLock()
        self._credentials: Any = None
        self._session: Any = None
        self._turned_away: tuple[str, str] | None = None
        self._vertex: dict[str, Vertex] = {}
        # Two versions of one model are uploaded and deleted one after the other.
        self.locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    @property
    def identity(self) -> str:
        """Who calls, as far as the credentials say."""
        return self.impersonate or _account(self._credentials) or SOMEONE

    def turned_away(self) -> tuple[str, str]:
        """Who may not become which account, after Google refused a token.

        Federated identities have no address, and stay without a name.
        """
        if self._turned_away is None:
            self._turned_away = self._ask_who()
        return self._turned_away

    def _ask_who(self) -> tuple[str, str]:
        import google.auth
        import requests
        from google.auth.exceptions import RefreshError, TransportError
        from google.auth.transport import requests as authorized

        session_type: Any = authorized.AuthorizedSession
        own, _ = google.auth.default(scopes=[SCOPE, EMAIL_SCOPE])
        email = ""
        try:
            answer = session_type(own).get(USERINFO, timeout=TIMEOUT)
            email = answer.json().get("email", "") if answer.ok else ""
        except RefreshError:
            # The application default credentials are themselves those of an account to become.
            return SOMEONE, _account(own) or self.impersonate
        except (TransportError, requests.RequestException):
            pass
        return email or _account(own) or SOMEONE, self.impersonate

    def who(self) -> str:
        """Whose credentials these are, before an account is impersonated with them; `unknown` where
        that cannot be told.

        Federated identities have no address: it is said which provider let them in. Default
        credentials that are themselves those of an account to become do not say whose they were.
        """
        import google.auth
        from google.auth import impersonated_credentials
        from google.auth.exceptions import GoogleAuthError

        try:
            own, _ = google.auth.default(scopes=[SCOPE, EMAIL_SCOPE])
            if audience := getattr(own, "info", {}).get("audience", ""):
                return f"somebody of {audience}"
            if isinstance(own, impersonated_credentials.Credentials):
                return f"somebody as {_account(own)}"
            email, _ = self.turned_away()
        except GoogleAuthError:
            return UNKNOWN
        return UNKNOWN if email == SOMEONE else email

    def credentials(self) -> Any:
        import google.auth
        from google.auth import impersonated_credentials

        impersonated: Any = impersonated_credentials.Credentials
        if not is_known([self.project, self.region, self.impersonate]):
            raise ProviderError("the provider's configuration is not known yet")
        with self._lock, google_errors():
            if self._credentials is None:
                credentials, _ = google.auth.default(scopes=[SCOPE])
                if self.impersonate:
                    credentials = impersonated(
                        source_credentials=credentials,
                        target_principal=self.impersonate,
                        target_scopes=[SCOPE],
                        lifetime=3600,
                    )
                self._credentials = credentials
            return self._credentials

    def vertex(self, location: str) -> Vertex:
        with self._lock:
            if location not in self._vertex:
                self._vertex[location] = Vertex(self.credentials(), location)
            return self._vertex[location]

    def request(self, verb: str, url: str, body: Json | None = None, token: str = "") -> Json:
        """The JSON of one call, as this identity or as the bearer of `token`.

        Raises `GoogleError`.
        """
        import requests
        from google.auth.transport import requests as authorized

        session_type: Any = authorized.AuthorizedSession
        with google_errors():
            if token:
                headers = {"Authorization": f"Bearer {token}"}
                answer = requests.request(verb, url, json=body, headers=headers, timeout=TIMEOUT)
            else:
                with self._lock:
                    self._session = self._session or session_type(self.credentials())
                answer = self._session.request(verb, url, json=body, timeout=TIMEOUT)
        if not answer.ok:
            raise http_error(answer.status_code, _json(answer))
        return dict(answer.json()) if answer.content else {}


class Vertex:
    """Vertex AI v1 in one region. Methods that start an operation return its name."""

    def __init__(self, credentials: Any, location: str) -> None:
        from google.cloud import aiplatform_v1

        options = {"api_endpoint": f"{location}-aiplatform.googleapis.com"}
        self._models = aiplatform_v1.ModelServiceClient(
            credentials=credentials, transport="rest", client_options=options
        )
        self._endpoints = aiplatform_v1.EndpointServiceClient(
            credentials=credentials, transport="rest", client_options=options
        )
        self._types: Any = aiplatform_v1
        self._credentials, self._location = credentials, location

    def _call(self, method: Any, request: str, body: Json) -> Any:
        message = getattr(self._types, request).from_json(json.dumps(body))
        with google_errors():
            return method(request=message, retry=None, timeout=TIMEOUT)

    def _start(self, method: Any, request: str, body: Json) -> str:
        return str(self._call(method, request, body).operation.name)

    def operation(self, name: str) -> Json:
        from google.protobuf import json_format

        with google_errors():
            state = self._endpoints.get_operation({"name": name}, retry=None, timeout=TIMEOUT)
        return dict(json_format.MessageToDict(state))

    def endpoint(self, name: str) -> Json:
        return _dict(self._call(self._endpoints.get_endpoint, "GetEndpointRequest", {"name": name}))

    def deploy(self, endpoint: str, model: Json) -> str:
        """An empty traffic split leaves the traffic as it is (endpoint_service.proto)."""
        body = {"endpoint": endpoint, "deployedModel": model}
        return self._start(self._endpoints.deploy_model, "DeployModelRequest", body)

    def mutate(self, endpoint: str, model: Json, mask: str) -> str:
        body = {"endpoint": endpoint, "deployedModel": model, "updateMask": mask}
        return self._start(
            self._endpoints.mutate_deployed_model, "MutateDeployedModelRequest", body
        )

    def undeploy(self, endpoint: str, id: str) -> str:
        body = {"endpoint": endpoint, "deployedModelId": id}
        return self._start(self._endpoints.undeploy_model, "UndeployModelRequest", body)

    def set_traffic(self, endpoint: str, split: dict[str, int]) -> None:
        body = {"endpoint": {"name": endpoint, "trafficSplit": split}, "updateMask": "trafficSplit"}
        self._call(self._endpoints.update_endpoint, "UpdateEndpointRequest", body)

    def model(self, name: str) -> Json:
        return _dict(self._call(self._models.get_model, "GetModelRequest", {"name": name}))

    def versions(self, name: str) -> list[Json]:
        body = {"name": name}
        pages = self._call(self._models.list_model_versions, "ListModelVersionsRequest", body)
        with google_errors():
            return [_dict(version) for version in pages]

    def upload(self, body: Json) -> str:
        return self._start(self._models.upload_model, "UploadModelRequest", body)

    def update_model(self, model: Json, mask: str) -> None:
        body = {"model": model, "updateMask": mask}
        self._call(self._models.update_model, "UpdateModelRequest", body)

    def merge_aliases(self, name: str, aliases: list[str]) -> None:
        body = {"name": name, "versionAliases": aliases}
        self._call(self._models.merge_version_aliases, "MergeVersionAliasesRequest", body)

    def delete_model(self, name: str) -> str:
        return self._start(self._models.delete_model, "DeleteModelRequest", {"name": name})

    def delete_version(self, name: str) -> str:
        return self._start(
            self._models.delete_model_version, "DeleteModelVersionRequest", {"name": name}
        )

    @cached_property
    def _jobs(self) -> Any:
        options = {"api_endpoint": f"{self._location}-aiplatform.googleapis.com"}
        return self._types.JobServiceClient(
            credentials=self._credentials, transport="rest", client_options=options
        )

    def monitoring_job(self, name: str) -> Json:
        get = self._jobs.get_model_deployment_monitoring_job
        return _dict(self._call(get, "GetModelDeploymentMonitoringJobRequest", {"name": name}))

    def monitoring_jobs(self, parent: str) -> list[Json]:
        find = self._jobs.list_model_deployment_monitoring_jobs
        body = {"parent": parent}
        pages = self._call(find, "ListModelDeploymentMonitoringJobsRequest", body)
        with google_errors():
            return [_dict(job) for job in pages]

    def create_monitoring_job(self, parent: str, job: Json) -> Json:
        body = {"parent": parent, "modelDeploymentMonitoringJob": job}
        create = self._jobs.create_model_deployment_monitoring_job
        return _dict(self._call(create, "CreateModelDeploymentMonitoringJobRequest", body))

    def update_monitoring_job(self, job: Json, mask: str) -> str:
        body = {"modelDeploymentMonitoringJob": job, "updateMask": mask}
        update = self._jobs.update_model_deployment_monitoring_job
        return self._start(update, "UpdateModelDeploymentMonitoringJobRequest", body)

    def delete_monitoring_job(self, name: str) -> str:
        delete = self._jobs.delete_model_deployment_monitoring_job
        return self._start(delete, "DeleteModelDeploymentMonitoringJobRequest", {"name": name})

    def pause_monitoring_job(self, name: str) -> None:
        pause = self._jobs.pause_model_deployment_monitoring_job
        self._call(pause, "PauseModelDeploymentMonitoringJobRequest", {"name": name})

    def resume_monitoring_job(self, name: str) -> None:
        resume = self._jobs.resume_model_deployment_monitoring_job
        self._call(resume, "ResumeModelDeploymentMonitoringJobRequest", {"name": name})


def _dict(message: Any) -> Json:
    return dict(
        type(message).to_dict(
            message,
            use_integers_for_enums=False,
            preserving_proto_field_name=False,
            always_print_fields_with_no_presence=False,
        )
    )
