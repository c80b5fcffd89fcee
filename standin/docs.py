"""The page about the stand-in, from the declarations that it runs by.

python -m standin.docs > docs/reference/stand-in.md
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final

from standin.fields import Choice, Field
from standin.gcp import Gcp
from standin.provider import Provider
from standin.resource import Declared

INTRODUCTION: Final = """\
# The stand-in for the gcp provider

Made from `standin` by `python -m standin.docs`; do not edit.

What a rehearsal does not try here fails at Google, so each type is held to what the official plugin
does. Sources: `products/` is in `mmv1/` of GoogleCloudPlatform/magic-modules, and `services/` and
`tpgiamresource/`, made from it, in `google-beta/` of hashicorp/terraform-provider-google-beta; they
were read at commits of 2024 to 2026, and where a recording in `provider-contract` differs it holds.
A name that the plugin draws, and what is deleted first: `provider/resources.go` of
pulumi/pulumi-gcp, and `nameRequiresDeleteBeforeReplace` in `tfbridge/schema.go` of
pulumi/pulumi-terraform-bridge.

For every type alike:

* A property that there is not, one that is missing, and one of a wrong type are refused by check;
  so is what the table names, unless it is not known yet (terraform-plugin-sdk,
  `helper/schema/schema.go`). Everything else only Google refuses.
* Without a project a preview fails already, except of grants. Region and location are asked for
  when something is sent.
* Errors that may pass are tried again; what is gone already is deleted with success, except a
  custom role and a sink.
* The official plugin gathers what it batches (services, policies of projects) for 10 seconds, and
  sleeps 10 seconds after it made an account or a key. The stand-in gathers for 0.2 seconds, and
  does not sleep.
* The provider warns where it has no project, and of a region that Compute Engine does not list.

What a type needs from the provider it needs where the program leaves that property open.

"""
HEAD: Final = (
    "type",
    "needs from the provider",
    "deleted first when replaced",
    "waits for",
    "refuses",
    "source",
)
ALWAYS: Final = "always"
NEVER: Final = "no"
# Values that need as much of the provider as there is to need, and when they do.
SAMPLES: Final = {"cryptoKeyId": "location/ring/key"}
NEEDED_WHEN: Final = {
    "gcp:vertex/aiEndpointIamMember:AiEndpointIamMember": "region (for the host, always)",
    "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember": "project (for a key without one)",
    "gcp:serviceaccount/key:Key": "project (for an account without @)",
}


class Asked(Provider):
    """A provider that has every setting, and notes which were asked for, and for what property."""

    def __init__(self) -> None:
        super().__init__()
        self.settings: dict[str, str] = {}

    @property
    def project(self) -> str:
        return self.setting("project")

    def setting(self, name: str, property: str = "") -> str:
        self.settings[property or name] = name
        return "x"


def page() -> str:
    rows = [[f"`{token}`", *row(token)] for token in Gcp().tokens]
    table = [HEAD, ["---"] * len(HEAD), *rows]
    return INTRODUCTION + "".join(f"| {' | '.join(cells)} |\n" for cells in table)


def row(token: str) -> list[str]:
    provider = Asked()
    kind = Gcp(provider).kind(token)
    assert isinstance(kind, Declared)
    kind.names("", sample(kind), {})
    return [
        ", ".join(_need(kind, *asked) for asked in provider.settings.items()) or "-",
        first(kind),
        "; ".join(_waits(kind)) or "-",
        "; ".join(filter(None, [*_refused(kind), kind.refuses, *_unsent(kind)])) or "-",
        f"`{kind.spec.source}`",
    ]


def sample(kind: Declared) -> dict[str, Any]:
    """Values for the texts that a program has to give, and for the name."""
    auto = kind.spec.autoname
    named = {auto.input: "x"} if auto else {}
    texts = [item.name for item in kind.spec.fields if item.required and item.type == "string"]
    return named | {name: SAMPLES.get(name, "x") for name in texts}


def _need(kind: Declared, name: str, setting: str) -> str:
    if not any(item.name == name for item in kind.spec.fields):
        return NEEDED_WHEN[kind.spec.token]
    return setting if name == setting else f"{setting} (as `{name}`)"


def first(kind: Declared) -> str:
    """When a replacement deletes the old one first."""
    if kind.spec.delete_first:
        return ALWAYS
    auto = kind.spec.autoname
    return f"if `{auto.input}` is given" if auto else NEVER


def _waits(kind: Declared) -> Iterator[str]:
    operations, update = kind.spec.operations, kind.spec.update_operations
    verbs = {"create": operations, "update": update, "delete": operations}
    if operations or update:
        yield f"{', '.join(verb for verb, has in verbs.items() if has)}: the operation"
    if kind.waits:
        yield kind.waits


def _refused(kind: Declared) -> Iterator[str]:
    """What is refused, and where, if that is not the resource itself."""
    found: dict[str, list[str]] = defaultdict(list)
    for path, what in _rules(kind.spec.fields, kind.spec.choices):
        found[what].append(path)
    for what, paths in found.items():
        where = ", ".join(f"`{path}`" for path in paths if path)
        yield f"{what} in {where}" if where else what


def _rules(
    fields: Iterable[Field], choices: Iterable[Choice], path: str = ""
) -> Iterator[tuple[str, str]]:
    for choice in choices:
        many = "none, or more than one," if choice.most else "none"
        yield path, f"{many if choice.least else 'more than one'} of {_listed(choice.names)}"
    for item in fields:
        if item.output or item.unsent:
            continue
        if item.needs:
            yield path, f"`{item.name}` without {_listed(item.needs)}"
        right = [
            *([" ".join(value or '""' for value in item.values)] if item.values else []),
            *([f"`{item.pattern}`"] if item.pattern else []),
            *([str(item.valid.__doc__)] if item.valid else []),
            *(["JSON"] if item.type == "json" and not item.valid else []),
            *([f"{item.fewest} or more"] if item.fewest else []),
            *([f"up to {item.most}"] if item.most else []),
        ]
        if right:
            yield path, f"`{item.name}` other than {', '.join(right)}".replace("|", "\\|")
        yield from _rules(item.of, item.choices, f"{path}.{item.name}".lstrip("."))


def _unsent(kind: Declared) -> Iterator[str]:
    names = list(_all_unsent(kind.spec.fields))
    if names:
        yield f"and, the stand-in alone, {_listed(names)}"


def _all_unsent(fields: Iterable[Field], path: str = "") -> Iterator[str]:
    for item in fields:
        if item.unsent:
            yield path + item.name
        else:
            yield from _all_unsent(item.of, f"{path}{item.name}.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    print(page(), end="")
