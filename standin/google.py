"""Calls to Google's APIs as the official plugin makes them: tokens, retries, errors, operations."""

from __future__ import annotations

import datetime
import json
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from pulumi_plugin.kinds import Context, ProviderError
from pulumi_plugin.values import Props

if TYPE_CHECKING:
    import requests

SCOPES: Final = (
    "https://www.googleapis.com/auth/cloud-platform",
    "https://www.googleapis.com/auth/userinfo.email",
)
USERINFO: Final = "https://openidconnect.googleapis.com/v1/userinfo"
# What may pass: by its status, or by its status and what the answer says.
RETRIED: Final = frozenset({429, 500, 502, 503})
RETRIED_SAYING: Final = (
    (403, re.compile(r"Quota exceeded for quota metric '.*' and limit '.* per minute' of service")),
    (403, re.compile(r"CONCURRENT_OPERATIONS_QUOTA_EXCEEDED")),
    (409, re.compile(r"operationInProgress")),
)
ATTEMPTS: Final = 6
REQUEST_TIMEOUT: Final = 120.0  # seconds without a byte
TOKEN_MARGIN: Final = 60.0  # seconds before its expiry at which a token is replaced

Sleep = Callable[[float], None]
Token = Callable[[], str]


class GoogleError(ProviderError):
    """An answer other than success, worded as Google's Go client words it.

    `status` is 0 where Google did not answer; `passes` says whether the same call may yet succeed.
    """

    def __init__(
        self, status: int, text: str, message: str = "", body: str = "", *, broken: bool = False
    ) -> None:
        super().__init__(text)
        self.status, self.message, self.body = status, message, body
        self.passes = (
            broken
            or status in RETRIED
            or any(status == code and said.search(body) for code, said in RETRIED_SAYING)
        )


def error_of(status: int, text: str) -> GoogleError:
    try:
        error = json.loads(text)["error"]
        message = error.get("message", "")
    except (ValueError, KeyError, TypeError, AttributeError):
        said = f"googleapi: got HTTP response code {status} with body: {text}"
        return GoogleError(status, said, text, text)
    said = f"googleapi: Error {error.get('code', status)}: {message}"
    if error.get("details"):
        said += "\nDetails:\n" + json.dumps(error["details"], indent=2)
    reasons = error.get("errors") or []
    if len(reasons) == 1 and reasons[0].get("message") == message:
        said += f", {reasons[0].get('reason', '')}"
    elif reasons:
        listed = (
            f"Reason: {r.get('reason', '')}, Message: {r.get('message', '')}" for r in reasons
        )
        said += "\nMore details:\n" + "\n".join(listed)
    return GoogleError(status, said.strip(), message, text)


def _broke(error: requests.RequestException) -> bool:
    """Whether a connection broke or fell silent, rather than was refused or not trusted."""
    from requests import exceptions
    from urllib3.exceptions import NewConnectionError

    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(error, exceptions.ProxyError):
        # urllib3 says so of every connection through a proxy that ends without an answer.
        return isinstance(getattr(reason, "original_error", None), ConnectionError)
    if isinstance(error, exceptions.SSLError):
        return False
    return not isinstance(reason, NewConnectionError) and isinstance(
        error, exceptions.ConnectionError | exceptions.Timeout | exceptions.ChunkedEncodingError
    )


def new_session() -> requests.Session:
    """A session over the proxy and the certificates that the environment names."""
    import requests  # 0.2 s that a plugin which is only asked for its version need not spend
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    session.mount("https://", HTTPAdapter(pool_maxsize=64))
    # The official plugin is in Go, which reads SSL_CERT_FILE; requests reads only its own variable.
    session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or True
    return session


class Google:
    """An identity's calls. Safe for use by many threads."""

    def __init__(self, session: requests.Session, token: Token, sleep: Sleep = time.sleep) -> None:
        self._session, self._token, self.sleep = session, token, sleep

    def call(
        self,
        method: str,
        url: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        *,
        alt: bool = True,
        raw: tuple[str, bytes] | None = None,
    ) -> Props:
        """The JSON answer. `raw` is a content type and a body that is not JSON.

        Raises GoogleError for any other answer than success, after bounded retries of those that
        may pass and of connections that break. As in the official plugin a retry does not ask
        whether the call is idempotent: a create whose answer was lost fails with "already exists".
        """
        params = {**(query or {}), **({"alt": "json"} if alt else {})}
        headers = {"Content-Type": raw[0] if raw else "application/json"}
        data = raw[1] if raw else None if body is None else json.dumps(body)
        for attempt in range(ATTEMPTS):
            try:
                return self._send(method, url, params, data, headers)
            except GoogleError as error:
                if not error.passes or attempt == ATTEMPTS - 1:
                    raise
            self.sleep(0.5 * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _send(
        self, method: str, url: str, params: dict[str, str], data: Any, headers: dict[str, str]
    ) -> Props:
        import requests

        try:
            bearer = self._token()
        except ProviderError as error:
            # Whatever the answer was, it was not about the resource: it must not pass for a 404.
            raise GoogleError(0, f'{method.capitalize()} "{url}": {error}') from error

        def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers["Authorization"] = f"Bearer {bearer}"
            return request

        try:
            answer = self._session.request(
                method,
                url,
                params=params,
                data=data,
                headers=headers,
                auth=authorize,
                timeout=REQUEST_TIMEOUT,
            )
        except requests.RequestException as error:
            said = f'{method.capitalize()} "{url}": {error}'
            raise GoogleError(0, said, broken=_broke(error)) from error
        if answer.status_code >= 300:
            raise error_of(answer.status_code, answer.text)
        try:
            return dict(answer.json()) if answer.content else {}
        except ValueError as error:
            said = f'{method.capitalize()} "{url}": the answer is not JSON: {answer.text[:200]}'
            raise GoogleError(0, said) from error

    def wait(self, base: str, operation: Props, activity: str, context: Context) -> Props:
        """The response of a long-running operation, once it is done.

        Raises ProviderError with the operation's own error, when cancelled, and after the
        resource's timeout or 20 minutes, whichever the program asks for.
        """
        waited, pause = 0.0, 0.2
        while not operation.get("done"):
            if context.cancelled.is_set():
                raise ProviderError(f"{activity} was cancelled; {operation['name']} goes on")
            if waited > (context.timeout or 1200.0):
                raise ProviderError(
                    f"Error waiting for {activity}: timeout while waiting for state to become "
                    f"'done: true' ({operation['name']}, timeout: {waited:.0f}s)"
                )
            self.sleep(pause)
            waited, pause = waited + pause, min(pause * 1.5, 10.0)
            operation = self.call("GET", f"{base}/{operation['name']}")
        error = operation.get("error")
        if error:
            raise ProviderError(
                f"Error waiting for {activity}: Error code {error.get('code')}, "
                f"message: {error.get('message')}"
            )
        return dict(operation.get("response") or {})


def ambient_token(session: requests.Session) -> Token:
    """Tokens of the application default credentials."""
    import google.auth
    import google.auth.exceptions
    from google.auth.transport.requests import Request

    try:
        found: tuple[Any, Any] = google.auth.default(scopes=SCOPES)
    except google.auth.exceptions.DefaultCredentialsError as error:
        raise ProviderError(
            "Attempted to load application default credentials since neither `credentials` nor "
            "`access_token` was set in the provider block.  No credentials loaded. To use your "
            f"gcloud credentials, run 'gcloud auth application-default login'.  {error}"
        ) from error
    credentials, lock = found[0], threading.Lock()

    def token() -> str:
        with lock:
            if not credentials.valid:
                try:
                    credentials.refresh(Request(session))
                except google.auth.exceptions.GoogleAuthError as error:
                    raise ProviderError(f"oauth2: cannot fetch token: {error}") from error
            return str(credentials.token)

    return token


def impersonated_token(source: Google, account: str) -> Token:
    """Tokens of the service account `account`, fetched by `source` when first needed."""
    lock = threading.Lock()
    held, expires = "", 0.0
    url = (
        "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"
        f"{account}:generateAccessToken"
    )
    body = {"lifetime": "3600s", "scope": list(SCOPES)}

    def token() -> str:
        nonlocal held, expires
        with lock:
            if time.time() > expires - TOKEN_MARGIN:
                try:
                    answer = source.call("POST", url, body=body, alt=False)
                except GoogleError as error:
                    said = f"impersonate: status code {error.status}: {error.body or error}"
                    raise ProviderError(said) from error
                held = answer["accessToken"]
                expires = datetime.datetime.fromisoformat(answer["expireTime"]).timestamp()
            return held

    return token
