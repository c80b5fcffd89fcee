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

from simulator.api.errors import invalid
from simulator.iam.conditions import EXTRACT

Values = dict[str, str | list[str]]

MAX_SUBJECT_BYTES = 127
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
    """Attribute → value. What a credential does not say is left out (inferred but for subjects).

    Raises ValueError, in Google's words, for a value that is of another type than it has to be:
    google-github-actions/auth#378 records them for a subject; that custom attributes are texts and
    `google.groups` one or a list of them, with the same words, is inferred.
    """
    found: Values = {}
    for name, expression in mappings.items():
        value = compiled(expression, "attribute_mapping").eval(data={"assertion": claims})
        plain = value.plain_value() if value.type() != cel.Type.ERROR else None
        if plain in (None, ""):
            continue
        listed = plain if isinstance(plain, list) and name == "google.groups" else [plain]
        if not all(isinstance(item, str) for item in listed):
            wanted = "LIST" if name == "google.groups" else "STRING"
            raise ValueError(f"The mapped attribute '{name}' must be of type {wanted}.")
        found[name] = plain
    return found


def accepts(condition: str, claims: dict[str, Any], values: Values) -> bool:
    """Whether the condition holds; one that fails to evaluate does not."""
    data: dict[str, Any] = {"assertion": claims, "google": {}, "attribute": {}}
    for name, value in values.items():
        kind, _, key = name.partition(".")
        data[kind][key] = value
    return compiled(condition, "attribute_condition").eval(data=data).value() is True
