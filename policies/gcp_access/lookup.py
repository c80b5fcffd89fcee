"""Roles that no file here knows, asked of Google: `iam.roles.get`, and for custom roles
`iam.projects.roles.get`. Only where credentials are; answers are kept on disk for a day."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

IAM: Final = "https://iam.googleapis.com/v1"
KEPT_SECONDS: Final = 24 * 60 * 60
SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)


def cache_folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "gcp-access" / "roles"


def credentials_are_there() -> bool:
    """Whether application default credentials are in a file.

    A metadata server is not asked for: where there is none, that takes seconds.
    """
    named = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    config = os.environ.get("CLOUDSDK_CONFIG") or Path.home() / ".config" / "gcloud"
    return bool(named) or (Path(config) / "application_default_credentials.json").is_file()


@dataclass
class Lookup:
    folder: Path = field(default_factory=cache_folder)
    _asked: dict[str, frozenset[str] | None] = field(default_factory=dict)
    _session: Any = None

    def permissions(self, role: str, seconds: float) -> frozenset[str] | None:
        """What a role holds; None when Google does not know it, or cannot be asked.

        Waits at most `seconds`, once a role and run; 0 does not ask.
        """
        if role not in self._asked:
            kept = self._kept(role)
            self._asked[role] = kept if kept is not None else self._ask(role, seconds)
        return self._asked[role]

    def _file(self, role: str) -> Path:
        return self.folder / f"{sha256(role.encode()).hexdigest()[:32]}.json"

    def _kept(self, role: str) -> frozenset[str] | None:
        try:
            file = self._file(role)
            if time.time() - file.stat().st_mtime > KEPT_SECONDS:
                return None
            found = json.loads(file.read_text())
            return frozenset(found["permissions"]) if found["role"] == role else None
        except (OSError, ValueError, KeyError):
            return None

    def _ask(self, role: str, seconds: float) -> frozenset[str] | None:
        if not seconds or not credentials_are_there():
            return None
        try:
            answer = self.get(f"{IAM}/{role}", seconds)
        except Exception:  # whatever it is: a role that cannot be looked up is not judged
            return None
        # Of a deleted or disabled role too: it can be brought back.
        held = frozenset(answer.get("includedPermissions", ()))
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = self._file(role).with_suffix(f".{os.getpid()}")
            partial.write_text(json.dumps({"role": role, "permissions": sorted(held)}))
            partial.replace(self._file(role))
        return held

    def get(self, url: str, seconds: float) -> dict[str, Any]:
        """One answer of Google's. Raises what google-auth and requests raise."""
        if self._session is None:
            self._session = _session(seconds)
        answer = self._session.get(url, timeout=seconds)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


def _session(seconds: float) -> Any:
    import google.auth
    from google.auth.transport.requests import AuthorizedSession, Request

    # A refresh of the credentials waits no longer than the question itself.
    request = _within(Request(), seconds)
    credentials, _ = google.auth.default(scopes=SCOPES, request=request)
    made: Any = AuthorizedSession
    return made(credentials, auth_request=request, max_refresh_attempts=1)


def _within(request: Any, seconds: float) -> Any:
    def limited(*arguments: Any, **options: Any) -> Any:
        options["timeout"] = min(options.get("timeout") or seconds, seconds)
        return request(*arguments, **options)

    return limited


def every_predefined_role(lookup: Lookup, seconds: float = 30) -> Iterator[dict[str, Any]]:
    """Every predefined role with its permissions, from the live API."""
    token = ""
    while True:
        page = lookup.get(f"{IAM}/roles?view=FULL&pageSize=1000&pageToken={token}", seconds)
        yield from page.get("roles", ())
        if not (token := page.get("nextPageToken", "")):
            return
