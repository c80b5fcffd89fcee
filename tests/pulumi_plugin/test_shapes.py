"""Inputs against a package's tables, and the schema made of the same tables."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pulumi_plugin.kinds import Failure
from pulumi_plugin.shapes import Form, Package, ResourceShape, Shape
from pulumi_plugin.values import UNKNOWN

TEXT = {"type": "string"}
PACKAGE = Package(
    name="zoo",
    version="1.0.0",
    description="Animals.",
    config={"keeper": TEXT},
    types={"Animal": Shape({"name": TEXT, "legs": {"type": "integer"}}, ("name",))},
    resources={
        "zoo:index:Cage": ResourceShape(
            "Where animals live.",
            Shape(
                {
                    "animals": {"type": "array", "items": {"$ref": "#/types/zoo:index:Animal"}},
                    "labels": {"type": "object", "additionalProperties": TEXT},
                    "open": {"type": "boolean"},
                },
                ("animals",),
            ),
            {"id": TEXT, "escaped": TEXT},
            sometimes=("escaped",),
        )
    },
    python="zoo",
)


def check(**inputs: Any) -> tuple[dict[str, Any], list[Failure]]:
    return PACKAGE.check("zoo:index:Cage", inputs)


def test_good_inputs_lose_only_their_nulls() -> None:
    animals = [{"name": "Jo", "legs": 4}, {"name": UNKNOWN, "legs": None}]
    cleaned, failures = check(animals=animals, labels={"a": "b"}, open=None)
    assert failures == []
    assert cleaned == {
        "animals": [{"name": "Jo", "legs": 4}, {"name": UNKNOWN}],
        "labels": {"a": "b"},
    }


def test_what_is_unknown_may_be_anything() -> None:
    assert check(animals=UNKNOWN, open=UNKNOWN)[1] == []


@pytest.mark.parametrize(
    ("inputs", "property", "reason"),
    [
        ({}, "animals", "is missing"),
        ({"animals": [], "size": 1}, "size", "is not a property of Cage: animals, labels, open"),
        ({"animals": "Jo"}, "animals", "is 'Jo', not a list"),
        ({"animals": [{"legs": 4}]}, "animals[0].name", "is missing"),
        (
            {"animals": [{"name": "Jo", "legs": True}]},
            "animals[0].legs",
            "is True, not a whole number",
        ),
        ({"animals": [{"name": "Jo", "a": 1}]}, "animals[0].a", "is not a property of Animal"),
        ({"animals": [], "labels": {"a": 1}}, "labels.a", "is 1, not a string"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(
    inputs: dict[str, Any], property: str, reason: str
) -> None:
    (failure,) = check(**inputs)[1]
    assert failure.property == property and failure.reason.startswith(reason)


def test_the_schema_says_what_a_resource_takes_and_gives() -> None:
    schema = json.loads(PACKAGE.schema())
    cage = schema["resources"]["zoo:index:Cage"]
    assert cage["requiredInputs"] == ["animals"] and "id" not in cage["inputProperties"]
    assert cage["required"] == ["animals", "id"] and "escaped" in cage["properties"]
    assert schema["types"]["zoo:index:Animal"]["required"] == ["name"]
    assert schema["provider"]["inputProperties"] == {"keeper": TEXT}


def test_a_form_takes_a_text_apart_or_says_what_it_has_to_be() -> None:
    form = Form(r"cages/(?P<cage>\d+)(/(?P<door>\w+))?", "cages/N or cages/N/DOOR")
    assert form.parse("cages/7") == {"cage": "7", "door": ""}
    assert form.check("cages/7/north", "at") == form.check(UNKNOWN, "at") == []
    assert form.check("cage 7", "at") == [Failure("at", f"is 'cage 7', not {form.said}")]
