"""Attribute mappings and conditions of identity providers, in Google's own CEL.

`assertion` is the credential; conditions also see what was mapped, as `google` and `attribute`.
The functions are CEL's string extensions and `extract`; that Google takes all of those is inferred
(IAM v1 documents `extract` only).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_strings

from rehearsal.cloud.api import invalid
from rehearsal.cloud.conditions import EXTRACT

Values = dict[str, str | list[str]]

MAX_SUBJECT_BYTES = 127
MAX_ATTRIBUTE_BYTES = 8192
LITERALS = re.compile(r"""r?("([^"\\]|\\.)*"|'([^'\\]|\\.)*')""")
CLAIM = re.compile(r"\b(assertion|google|attribute)\s*[.\[]")


@lru_cache(maxsize=1)
def _environment() -> cel.Env:
    names = ("assertion", "google", "attribute")
    return cel.NewEnv(
        variables={name: cel.Type.DYN for name in names},
        extensions=[ext_strings.ExtStrings()],
        functions=[EXTRACT],
    )


@lru_cache(maxsize=1024)
def compiled(expression: str, field: str) -> cel.Expression:
    """400 when it is no expression, or a condition that is not a boolean (wording inferred)."""
    try:
        result = _environment().compile(expression)
    except RuntimeError as error:
        raise invalid(f"Invalid expression in {field}: {error}") from None
    wanted = (cel.Type.BOOL, cel.Type.DYN)
    if field == "attribute_condition" and result.return_type() not in wanted:
        raise invalid(f"The attribute condition must evaluate to a boolean: {expression}")
    return result


def references_a_claim(condition: str) -> bool:
    """Whether a condition looks at the credential, or at what was mapped from it."""
    return bool(CLAIM.search(LITERALS.sub("''", condition)))


def mapped(mappings: dict[str, str], claims: dict[str, Any]) -> Values:
    """Attribute → value. What a credential does not say is left out (inferred but for subjects)."""
    found: Values = {}
    for name, expression in mappings.items():
        value = compiled(expression, "attribute_mapping").eval(data={"assertion": claims})
        plain = value.plain_value() if value.type() != cel.Type.ERROR else None
        if isinstance(plain, list) and name == "google.groups":
            found[name] = [str(item) for item in plain]
        elif isinstance(plain, str) and plain:
            found[name] = plain
        elif isinstance(plain, (bool, int)):
            found[name] = str(plain).lower()
    return found


def accepts(condition: str, claims: dict[str, Any], values: Values) -> bool:
    """Whether the condition holds; one that fails to evaluate does not."""
    data: dict[str, Any] = {"assertion": claims, "google": {}, "attribute": {}}
    for name, value in values.items():
        kind, _, key = name.partition(".")
        data[kind][key] = value
    return compiled(condition, "attribute_condition").eval(data=data).value() is True
