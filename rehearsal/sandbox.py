"""A simulated Google Cloud in a process of its own, and what other programs need to reach it.

Everything lives in a private directory that is gone with the sandbox. Programs run in it unchanged:
they see `HTTPS_PROXY`, a CA bundle, and credentials that exchange a person's own token for access
(rehearsal/callers.py); the proxy refuses every host that is not simulated.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import urllib3

from rehearsal import callers
from rehearsal.callers import Caller
from rehearsal.toolchain import ROOT
from simulator.core.delays import RATE
from simulator.serve.programs import LEADING, MARK, STAY, end_all, write_private

READY_SECONDS = 30
RENEWED_SECONDS = 1800
DAY = 24 * 3600
UNAUTHENTICATED = 401


class GoogleError(RuntimeError):
    """An answer that is not 2xx; the message is Google's own."""

    def __init__(self, status: int, answer: Any) -> None:
        error = answer.get("error") if isinstance(answer, dict) else None
        message = error.get("message") if isinstance(error, dict) else str(answer)
        super().__init__(f"{status} {message}")
        self.status, self.answer = status, answer


class Google:
    """Plain calls to simulated APIs as one principal. Safe to share between threads."""

    def __init__(self, proxy: str, ca_bundle: str, token: Callable[[], str]) -> None:
        self._pool = urllib3.ProxyManager(proxy, ca_certs=ca_bundle, maxsize=16, retries=False)
        self._token, self._bearer = token, token()

    def call(
        self, verb: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """The decoded answer. `body` is bytes as they are, or anything else as JSON.

        Raises GoogleError.
        """
        kind = {} if isinstance(body, bytes) else {"Content-Type": "application/json"}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        bearer = self._bearer
        answer = self._send(verb, url, data, {**kind, **(headers or {})}, bearer)
        if answer.status == UNAUTHENTICATED:  # the token has had its hour
            self._bearer = self._token()
            answer = self._send(verb, url, data, {**kind, **(headers or {})}, self._bearer)
        content = json.loads(answer.data) if answer.data else {}
        if not 200 <= answer.status < 300:
            raise GoogleError(answer.status, content)
        return content

    def _send(
        self, verb: str, url: str, data: bytes | None, headers: dict[str, str], bearer: str
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Authorization": f"Bearer {bearer}", **headers}
        return self._pool.request(verb, url, body=data, headers=headers)

    def finish(self, operation: Any, url: str) -> Any:
        """Wait for a long-running operation of the API at `url`. Raises GoogleError."""
        deadline = time.monotonic() + READY_SECONDS
        while not operation.get("done"):
            if time.monotonic() > deadline:
                raise GoogleError(504, f"{operation['name']} is still running")
            time.sleep(0.05)
            operation = self.call("GET", f"{url}/{operation['name']}")
        if "error" in operation:
            raise GoogleError(operation["error"]["code"], operation)
        return operation.get("response", {})


class Sandbox:
    """Starts the cloud from `seed` on entry and ends it on exit.

    With `at_once`, changes of IAM and of APIs take effect without the usual delay; a `slow` cloud
    takes as long as Google, on a clock of its own.

    The cloud removes the directory and ends what was started to work in it (`mark`), so that
    nothing stays however this process ends.
    """

    open: ClassVar[set[Sandbox]] = set()
    ended: ClassVar[bool] = False

    def __init__(
        self, seed: Mapping[str, Any], *, at_once: bool = False, slow: bool = False
    ) -> None:
        self._begin(Path(tempfile.mkdtemp(prefix="rehearsal-")), slow)
        self._cloud = subprocess.Popen(
            [
                sys.executable, "-m", "simulator",
                "--directory", self.directory, "--temporary", "--stop-with-parent",
                *(["--iam-delay", "0", "--api-delay", "0"] if at_once else []),
                *(["--slow"] if slow else []),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            # A signal to this process's group must not end it before it has cleaned up.
            start_new_session=True,
        )  # fmt: skip
        assert self._cloud.stdin is not None
        self._cloud.stdin.write(json.dumps(seed) + "\n")
        self._cloud.stdin.flush()

    def _begin(self, directory: Path, slow: bool) -> None:
        if Sandbox.ended:
            raise RuntimeError("this process is ending")
        self.directory = directory
        Sandbox.open.add(self)
        self._signed_in: dict[Path, Caller] = {}
        self._lasting: dict[str, int] = {}
        self._stays = False
        self._ended = threading.Event()
        self.until_the_end = ExitStack()
        """What is to be closed before the cloud ends, or is left to others."""
        self._renewed_seconds = RENEWED_SECONDS / (RATE if slow else 1)

    def __enter__(self) -> Sandbox:
        ready, deadline = self.directory / "ready.json", time.monotonic() + READY_SECONDS
        while not ready.exists():
            if self._cloud.poll() is not None or time.monotonic() > deadline:
                self.__exit__(None, None, None)
                raise RuntimeError("the simulated cloud did not start; its error is above")
            time.sleep(0.02)
        self._reach()
        return self

    def _reach(self) -> None:
        self._ready = json.loads((self.directory / "ready.json").read_text())
        self._control = self._google(lambda: str(self._ready["control_token"]))
        threading.Thread(target=self._keep_signed_in, daemon=True).start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the cloud and all that works in it, unless it is to stay."""
        self._ended.set()
        Sandbox.open.discard(self)
        self.until_the_end.close()
        if self._stays:
            return
        if self._cloud.stdin:
            self._cloud.stdin.close()
        self._cloud.wait(READY_SECONDS)
        shutil.rmtree(self.directory, ignore_errors=True)  # of a cloud that ended by itself

    def stay(self) -> None:
        """Leave the cloud up for others when this process ends, and who came in signed in."""
        self._lasting = {"lifetime": DAY}
        self.renew()
        assert self._cloud.stdin is not None
        self._cloud.stdin.write(STAY)
        self._cloud.stdin.close()
        self._stays = True

    @classmethod
    def close_all(cls) -> None:
        """Close every sandbox of this process, and open no other one."""
        cls.ended = True
        for sandbox in list(cls.open):
            sandbox.close()

    @property
    def mark(self) -> dict[str, str]:
        """The variable of a program that is to end with the sandbox."""
        return {MARK: str(self.directory)}

    def control(self, verb: str, path: str, body: Any = None) -> Any:
        """Ask the simulator itself: `/audit`, `/usage`, `/stats`, `/state`, `/withhold`…"""
        return self._control.call(verb, self._ready["control_url"] + path, body)

    def wait(self, seconds: float) -> None:
        """Let time pass on the cloud's clock, and what is due by then come about."""
        self.control("POST", "/clock", {"step": seconds})

    def google(self, email: str) -> Google:
        """Calls as `email`: what a workload running as that account could do."""
        return self._google(
            lambda: str(self.control("POST", "/token", {"email": email})["access_token"])
        )

    def bearer(self, token: str) -> Google:
        """Calls that show this token."""
        return self._google(lambda: token)

    def anybody(self) -> Google:
        """Calls that show no token of Google's: for what has tokens of its own."""
        return self._google(str)

    def _google(self, token: Callable[[], str]) -> Google:
        return Google(self._ready["proxy_url"], self._ready["ca_bundle"], token)

    @property
    def variables(self) -> dict[str, str]:
        """What sends a program here, without credentials."""
        return dict(self._ready["environment"])

    def environment(self, who: Caller | str, impersonate: str = "") -> dict[str, str]:
        """Variables under which a program's Google credentials are those of `who`.

        An address is that of somebody in the company. With `impersonate`, the credentials become
        that service account's.
        """
        caller = callers.colleague(who) if isinstance(who, str) else who
        token_file = self.directory / f"{caller.name}.jwt"
        self._signed_in[token_file] = caller
        self._sign_in(token_file, caller)
        credentials = self.directory / f"{impersonate or caller.name}.json"
        content = caller.credentials(str(token_file), impersonate)
        write_private(credentials, json.dumps(content))
        return {
            **self.variables,
            "GOOGLE_APPLICATION_CREDENTIALS": str(credentials),
            "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": str(credentials),
            "CLOUDSDK_CONFIG": str(self.directory / "gcloud"),
        }

    def _sign_in(self, token_file: Path, caller: Caller) -> None:
        asked = {**caller.token_request(), **self._lasting}
        answer = self.control("POST", "/subject-token", asked)
        write_private(token_file, answer["subject_token"])

    def renew(self) -> None:
        """Sign everybody in again: tokens last an hour on the cloud's clock."""
        for token_file, caller in list(self._signed_in.items()):
            self._sign_in(token_file, caller)

    def _keep_signed_in(self) -> None:
        while not self._ended.wait(self._renewed_seconds):
            self.renew()


class KeptSandbox(Sandbox):
    """A sandbox that another process left up: it stays, only what this process started ends."""

    def __init__(self, directory: Path, *, slow: bool = False) -> None:
        self._begin(directory, slow)
        self._lasting = {"lifetime": DAY}

    def __enter__(self) -> Sandbox:
        self._reach()
        return self

    def close(self) -> None:
        self._ended.set()
        Sandbox.open.discard(self)
        self.until_the_end.close()
        end_all(str(self.directory))


def clean_environment() -> dict[str, str]:
    """This process's variables without what could lead a program to a real cloud or backend."""
    leading = (*LEADING, "CLEARBLADE_", "PULUMI_", "PREDICTIVE_MAINTENANCE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(leading)}
