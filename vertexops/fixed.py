"""FixedSettings: settings that a running stack cannot change, or not unnoticed.

A program does not see the state, but a provider is shown the inputs in it. Registered before all
else, this resource refuses a change before anything has happened, in a preview and in an `up`.
"""

from __future__ import annotations

from typing import Any

from pulumi_plugin.kinds import Change, Context, Failure, StateOnly
from pulumi_plugin.values import Props, is_known
from vertexops.schema import FIXED_SETTINGS, PACKAGE


class FixedSettings(StateOnly):
    id, nature = "settings", "settings are only in the program"

    def check(
        self, inputs: Props, old_inputs: Props, context: Context
    ) -> tuple[Props, list[Failure]]:
        """What the state says of a setting decides: the stack that runs is the one that stands."""
        inputs, failures = PACKAGE.check(FIXED_SETTINGS, inputs)
        if not is_known(inputs):
            failures.append(Failure("settings", "have to be known before anything is made"))
        if failures:
            return inputs, failures
        now = _by_key(inputs)
        for key, old in _by_key(old_inputs).items():
            if key not in now or now[key]["value"] == old["value"]:
                continue
            change = f"{old['name']} from {old['value']!r} to {now[key]['value']!r}"
            if "instead" in old:
                said = f"a running stack cannot change {change}. {old['instead']}"
                failures.append(Failure("", said))
            elif "mind" in old:
                context.warn(f"changing {change}. {old['mind']}")
        return inputs, failures

    def diff(self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props) -> Change:
        """How it is said is no change."""
        old, new = ({k: s["value"] for k, s in _by_key(i).items()} for i in (old_inputs, inputs))
        return Change(("settings",) if old != new else ())


def _by_key(inputs: Props) -> dict[tuple[str, str], dict[str, Any]]:
    return {(s["name"], s.get("of", "")): s for s in inputs.get("settings", [])}
