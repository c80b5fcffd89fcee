"""ClearBlade IoT Core, as this provider uses it: JSON in, JSON out, one kind of error.

Its API is that of Google's Cloud IoT Core, with keys of its own: those of a service account for a
project's registries, and for each registry others, which the first ones can be exchanged for.
Calls and fields: docs.clearblade.com/iotcore (create, delete, getregistrycredentials,
projects-locations-registries and below) and its Python library, which is not used (decision 0012).

No key ever gets into a message: what is said of a failure is cleaned of them, and what caused it,
whose text can hold an address with a key in it, is not passed on.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pulumi_plugin.kinds import ProviderError
from pulumi_plugin.values import UNKNOWN
from vertexops import forms
from vertexops.errors import GoogleError, Json, http_error

FILE: Final = "CLEARBLADE_CONFIGURATION"
"""Environment variable with the path of the file that ClearBlade's console gives out."""

WHERE: Final = f"the provider's clearbladeCredentials, or the file that {FILE} names"
TIMEOUT: Final = 60.0
NOT_FOUND, TOO_MANY = 404, 429
UNKNOWN_CALLER: Final = (401, 403)
HIDDEN: Final = "[secret]"


@dataclass(frozen=True)
class Keys:
    """What a call names and shows, and where it goes."""

    url: str
    system_key: str = field(repr=False)
    token: str = field(repr=False)

    def hide(self, text: str) -> str:
        return text.replace(self.token, HIDDEN).replace(self.system_key, HIDDEN)


@dataclass(frozen=True)
class Account:
    """A service account of ClearBlade's, good for the registries of one project."""

    project: str
    keys: Keys


def account(text: str, where: str) -> Account:
    """The account of a credentials file. Raises ProviderError, which never shows what is in it."""
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise ProviderError(f"{where}: is no JSON object, as ClearBlade gives it out")
    names = ("systemKey", "token", "url", "project")
    missing = [name for name in names if not isinstance(given.get(name), str) or not given[name]]
    if missing:
        raise ProviderError(f"{where}: lacks {', '.join(missing)}")
    return Account(given["project"], _keys(given, given["token"], where))


def _keys(given: Json, token: str, where: str) -> Keys:
    """Raises ProviderError for an address to which a token would go unprotected."""
    url = str(given["url"]).rstrip("/")
    if urlsplit(url).scheme != "https" or not urlsplit(url).hostname:
        raise ProviderError(f"{where}: url is no https:// address")
    return Keys(url, str(given["systemKey"]), token)


class ClearBlade:
    """`credentials` is the content of the file; "" reads the one that the environment names.

    Calls raise GoogleError, for errors have the shape of Google's; those that are about a registry
    or a device have code 404 when there is none.
    """

    def __init__(self, credentials: Any = "") -> None:
        self._credentials = credentials
        self._lock = threading.Lock()
        self._account: Account | None = None
        self._registries: dict[str, Keys] = {}

    @property
    def account(self) -> Account:
        """Raises ProviderError when there are no credentials, or none that can be used."""
        with self._lock:
            if self._account is None:
                self._account = account(*self._given())
            return self._account

    def _given(self) -> tuple[str, str]:
        if self._credentials is UNKNOWN:
            raise ProviderError("the provider's clearbladeCredentials are not known yet")
        if self._credentials:
            return str(self._credentials), "the provider's clearbladeCredentials"
        path = os.environ.get(FILE, "")
        if not path:
            raise ProviderError(f"no ClearBlade credentials: set {WHERE}")
        try:
            return Path(path).read_text(), f"the file {path}, which {FILE} names"
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is no text"
            raise ProviderError(f"the file {path}, which {FILE} names: {reason}") from None

    def registry(self, name: str) -> Json:
        return self._of(name, "GET", "cloudiot", {})

    def create_registry(self, parent: str, body: Json) -> Json:
        return self._admin("POST", "cloudiot", {"parent": parent}, body)

    def update_registry(self, name: str, body: Json, mask: str) -> Json:
        asked = {"name": name, "updateMask": mask}
        return self._of(name, "PATCH", "cloudiot", asked, body)

    def delete_registry(self, name: str) -> None:
        self._admin("DELETE", "cloudiot", {"name": name})
        self._registries.pop(name, None)

    def devices(self, registry: str) -> list[Json]:
        return list(self._pages(registry))

    def _pages(self, registry: str) -> Iterator[Json]:
        asked = {"parent": registry}
        while True:
            page = self._of(registry, "GET", "cloudiot_devices", asked)
            yield from page.get("devices") or ()
            # Some answers have it as a number (go-iot, iot_test.go), 0 at the end.
            if not (token := page.get("nextPageToken")):
                return
            asked = {"parent": registry, "pageToken": str(token)}

    def device(self, name: str) -> Json:
        return self._of(_registry(name), "GET", "cloudiot_devices", {"name": name})

    def create_device(self, registry: str, body: Json) -> Json:
        return self._of(registry, "POST", "cloudiot_devices", {}, body)

    def delete_device(self, name: str) -> None:
        self._of(_registry(name), "DELETE", "cloudiot_devices", {"name": name})

    def modify_config(self, name: str, data: str, version: int) -> Json:
        """A new version of a device's config, in base64, in place of `version`; 0 for any."""
        asked = {"name": name, "method": "modifyCloudToDeviceConfig"}
        body = {"binaryData": data, "versionToUpdate": str(version)}
        return self._of(_registry(name), "POST", "cloudiot_devices", asked, body)

    def _admin(self, verb: str, api: str, asked: dict[str, str], body: Json | None = None) -> Json:
        return _call(self.account.keys, verb, f"webhook/execute/{{}}/{api}", 4, asked, body)

    def _of(
        self, registry: str, verb: str, api: str, asked: dict[str, str], body: Json | None = None
    ) -> Json:
        """A call with the keys of a registry; they are asked for anew when they are refused."""
        path = f"webhook/execute/{{}}/{api}"
        if known := self._registries.get(registry):
            try:
                return _call(known, verb, path, 4, asked, body)
            except GoogleError as error:
                if error.code not in UNKNOWN_CALLER:
                    raise
        keys = self._registries[registry] = self._exchanged(registry)
        return _call(keys, verb, path, 4, asked, body)

    def _exchanged(self, registry: str) -> Keys:
        """The keys of a registry. 404 when there is none, whatever is answered then."""
        parts = forms.REGISTRY.parse(registry)
        body = {
            "project": parts["project"],
            "region": parts["location"],
            "registry": parts["id"],
        }
        try:
            given = _call(self.account.keys, "POST", "code/{}/getRegistryCredentials", 1, {}, body)
        except GoogleError as error:
            known = error.is_transient or error.code in (*UNKNOWN_CALLER, NOT_FOUND, TOO_MANY)
            if known or registry in self._names(registry.rpartition("/registries/")[0]):
                raise
            raise GoogleError(NOT_FOUND, "NOT_FOUND", error.message) from None
        missing = [key for key in ("systemKey", "serviceAccountToken", "url") if not given.get(key)]
        if missing:
            raise ProviderError(f"ClearBlade's keys of {registry} lack {', '.join(missing)}")
        return _keys(given, str(given["serviceAccountToken"]), f"ClearBlade's keys of {registry}")

    def _names(self, parent: str) -> set[str]:
        """Of the registries in a region: which error says that there is none is not documented."""
        names: set[str] = set()
        asked = {"parent": parent}
        while True:
            page = self._admin("GET", "cloudiot", asked)
            names |= {str(it.get("name")) for it in page.get("deviceRegistries") or ()}
            if not (token := page.get("nextPageToken")):
                return names
            asked = {"parent": parent, "page_token": str(token)}


def _registry(device: str) -> str:
    return device.rpartition("/devices/")[0]


def _call(
    keys: Keys, verb: str, path: str, version: int, asked: dict[str, str], body: Json | None
) -> Json:
    import requests

    url = f"{keys.url}/api/v/{version}/{path.format(keys.system_key)}"
    failed = ""
    try:
        answer = requests.request(
            verb,
            url,
            params=asked,
            json=body,
            headers={"ClearBlade-UserToken": keys.token},
            timeout=TIMEOUT,
            # Only Google's header would be taken off on the way to another host.
            allow_redirects=False,
        )
    except requests.RequestException as error:
        failed = keys.hide(str(error))
    if failed:
        raise GoogleError(0, "", f"{keys.url} does not answer: {failed}")
    try:
        content: Any = answer.json() if answer.content else {}
    except ValueError:
        content = answer.text
    if not 200 <= answer.status_code < 300:
        said = http_error(answer.status_code, content)
        raise GoogleError(said.code, said.status, keys.hide(said.message))
    if not isinstance(content, dict):
        raise GoogleError(answer.status_code, "", f"{keys.url} answered what is no JSON object")
    return content


def explain(error: GoogleError, step: str) -> ProviderError:
    """`error` for the person running Pulumi: the step, what to do, ClearBlade's own text."""
    if error.code in UNKNOWN_CALLER:
        return ProviderError(
            f"{step}: ClearBlade refuses the credentials ({error.code}): look at {WHERE}; "
            f"ClearBlade's console gives out new ones\n{error.message}"
        )
    if error.code == 0:
        return ProviderError(f"{step}: ClearBlade cannot be reached\n{error.message}")
    return ProviderError(f"{step}: {error.message}")
