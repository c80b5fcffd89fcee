"""User-defined functions of message transforms, run by QuickJS.

Facts (docs pubsub/docs/smts/udfs-overview and create-topic-smt, as they and public summaries of
2026 say it; discovery document, `JavaScriptUDF`): a function takes `{data, attributes}`, data as
UTF-8 text, and immutable metadata, and returns such an object or null, which filters the message;
attributes that are returned empty remove all of them; code has at most 20 KB, a message at most
500 ms; ECMAScript's built-ins are all there is.

Inferred: that attributes which are not returned stay, that a name is an identifier, that KB are
1,024 bytes, and all error texts. Not documented: whether one message sees what another left in a
global variable (here it does), and how much memory there is. Time is processor time, so that a busy
machine fails nothing; `Date` shows the cloud's clock.
"""

from __future__ import annotations

import json
import re
from threading import Lock
from typing import Any

from quickjs import Context, JSException

from simulator.api.errors import invalid

MOST_CODE, MOST_SECONDS = 20 * 1024, 0.5
# Room for the largest message (10 MB) and what a script makes of it.
MOST_MEMORY = 256 * 1024 * 1024
NAME = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)
# Before the script: leaves nothing but ECMAScript, and takes along what the script could replace.
# Its value calls a function with two JSON values, at a moment in Unix milliseconds.
DRIVER = """
(() => {
  for (const name of ["atob", "btoa", "DOMException", "performance", "queueMicrotask"])
    delete globalThis[name];
  const {parse, stringify} = JSON, {construct, get} = Reflect, {freeze} = Object, Real = Date;
  let now = 0;
  globalThis.Date = new Proxy(Real, {
    apply: () => new Real(now).toString(),
    construct: (_, given, target) => construct(Real, given.length ? given : [now], target),
    get: (_, key) => key === "now" ? () => now : get(Real, key),
  });
  return (script, input, moment) => {
    now = moment;
    const [message, metadata] = parse(input);
    return stringify(script(message, freeze(metadata)));
  };
})()
"""


class ScriptError(ValueError):
    """A script failed; says how."""


class Script:
    """A function of some code, compiled once. Raises INVALID_ARGUMENT when there is no such."""

    def __init__(self, name: str, code: str) -> None:
        if not NAME.fullmatch(name):
            raise invalid(f'"{name}" is not the name of a JavaScript function.')
        if len(code.encode()) > MOST_CODE:
            raise invalid(f"The code of {name} has more than {MOST_CODE} bytes.")
        context = Context()
        context.set_memory_limit(MOST_MEMORY)
        context.set_time_limit(MOST_SECONDS)
        self._run, self._lock = context.eval(DRIVER), Lock()
        try:
            context.eval(code)
            kind = context.eval(f"typeof {name}")
        except JSException as error:
            raise invalid(f"The code of {name} cannot be used: {_said(error)}") from error
        if kind != "function":
            raise invalid(f"The code has no function {name}.")
        self._function = context.eval(name)

    def __call__(
        self, data: str, attributes: dict[str, str], metadata: dict[str, str], moment: float
    ) -> tuple[str, dict[str, str]] | None:
        """The data and attributes that it makes of a message, None when it filters the message.

        `moment` is now in Unix seconds. Raises ScriptError.
        """
        message = {"data": data, "attributes": attributes}
        try:
            with self._lock:
                given = json.dumps([message, metadata])
                text = self._run(self._function, given, float(int(moment * 1000)))
        except JSException as error:
            raise ScriptError(_said(error)) from error
        result: Any = json.loads(text) if text is not None else ...
        if result is None:
            return None
        if not isinstance(result, dict) or not isinstance(result.get("data"), str):
            raise ScriptError("it returned neither null nor an object with data that is a string")
        made = result.get("attributes", attributes)
        if not isinstance(made, dict) or not all(isinstance(item, str) for item in made.values()):
            raise ScriptError("it returned attributes that are not an object of strings")
        try:
            "".join([result["data"], *made, *made.values()]).encode()
        except UnicodeEncodeError as error:
            raise ScriptError("it returned text that is not UTF-8") from error
        return result["data"], made


def _said(error: JSException) -> str:
    """What was thrown, without the stack."""
    text = str(error).partition("\n")[0]
    if text == "InternalError: interrupted":
        return f"it took more than {MOST_SECONDS * 1000:.0f} ms"
    return text
