"""Property values as plain Python, and the way to the protocol and back."""

from __future__ import annotations

from typing import Any

import pytest
from pulumi.runtime import rpc

from pulumi_plugin.values import UNKNOWN, Secret, to_python, to_value


def test_a_secret_comes_back_as_its_value() -> None:
    assert to_python(to_value(Secret({"a": UNKNOWN}))) == {"a": UNKNOWN}


@pytest.mark.parametrize(
    "value",
    [None, True, 0, 7, 1.5, "text", UNKNOWN, [1, [UNKNOWN]], {"a": {"b": [None, "c"]}}],
)
def test_property_values_come_back_as_they_went(value: Any) -> None:
    back = to_python(to_value(value))
    assert back == value and type(back) is type(value)


def test_secrets_and_outputs_are_unwrapped() -> None:
    def signed(signature: str, **fields: Any) -> Any:
        return to_python(to_value({rpc._special_sig_key: signature, **fields}))

    assert signed(rpc._special_secret_sig, value=[1]) == [1]
    assert signed(rpc._special_output_value_sig, value="known", secret=True) == "known"
    assert signed(rpc._special_output_value_sig) is UNKNOWN
    with pytest.raises(ValueError, match="unknown signature"):
        signed("nonsense")
