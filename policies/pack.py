"""The rules as Pulumi policies: four in all, for the protocol reads a resource anew for each.

Resource policies judge what a resource is given, before it is created. What they cannot read in a
preview is judged by the stack policies, which see what it depends on. There are two of each, for
enforcement is a policy's and not a finding's: one speaks where findings block, one where they
advise. The stack's name decides; it is in every URN, in every way of running a pack.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

from policies.config import Config, Configs, Waiver
from policies.grants import Grant, granted
from policies.judge import Declared, Judge
from policies.lookup import Lookup
from policies.rules.rule import Context, Rule, today
from policies.stack import Stack
from policies.view import Resource, plain

NAME: Final = "google-cloud"
DESCRIPTION: Final = "Access to Google Cloud stays small (docs/reference/policies.md)"
ROOT: Final = Path(__file__).parent.parent
LAST: Final = ("X3", "X4")
"""Rules about what the others did."""


@dataclass(frozen=True)
class Finding:
    """What one rule said of one resource, as the pack reports it."""

    mandatory: bool
    message: str
    urn: str


@dataclass(frozen=True)
class Given:
    """A resource at the end of the program: URNs by the property that depends on them."""

    urn: str
    depends: Mapping[str, Sequence[str]]
    read: Callable[[], Resource]


@dataclass(frozen=True)
class Whole:
    """The resources of a stack."""

    resources: tuple[Given, ...]


def message(rule: Rule, said: str) -> str:
    fix = rule.remedy.replace("\n", "\n    ")
    return f"{rule.id} ({rule.severity}) {said}\n  Fix:\n    {fix}"


@dataclass
class Pack:
    """The rules at work on one program. The engine calls from several threads."""

    rules: tuple[Rule, ...]
    configs: Configs
    lookup: Lookup = field(default_factory=Lookup)
    _seen: dict[str, Resource] = field(default_factory=dict)
    _pending: dict[str, dict[str, Rule]] = field(default_factory=dict)
    _declared: Declared = field(default_factory=Declared)
    _waived: set[Waiver] = field(default_factory=set)
    _by_kind: dict[tuple[str, bool], list[Rule]] = field(default_factory=dict)

    def resource(self, args: ResourceValidationArgs | Resource) -> list[Finding]:
        """What is wrong with one resource; what cannot be told yet is kept for the stack."""
        resource = args if isinstance(args, Resource) else _resource(args)
        config = self.configs.of(resource.stack)
        self._seen[resource.urn] = resource
        self._declared.note(resource)
        # An update comes after a preview, and a role before the grants that depend on it: what is
        # not declared by now is not this stack's, and must not be granted first and judged later.
        updating = os.environ.get("PULUMI_DRY_RUN") == "false"
        context = Context(config, Judge(config, self._declared, self.lookup, complete=updating))
        grants = granted(resource)
        pending: dict[str, Rule] = {}
        findings: list[Finding] = []
        for rule in self._rules_for(resource.kind, bool(grants)):
            said, unknown = self._run(rule, resource, context, grants)
            findings += said
            if unknown is not None and not said:
                pending[rule.id] = rule
        self._pending[resource.urn] = pending
        return findings

    def stack(self, args: StackValidationArgs | Whole) -> list[Finding]:
        """What is wrong with the stack as a whole, and what only dependencies can tell."""
        resources = self._connected((args if isinstance(args, Whole) else _whole(args)).resources)
        if not resources:
            return []
        config = self.configs.of(resources[0].stack)
        declared = Declared()
        for resource in resources:
            declared.note(resource)
        judge = Judge(config, declared, self.lookup, complete=True)
        context = Context(config, judge)
        findings, unread = self._postponed(resources, context)
        stack = Stack(tuple(resources), judge)
        first = [rule for rule in self.rules if rule.each == "stack" and rule.id not in LAST]
        last = [rule for rule in self.rules if rule.id in LAST]
        for rule in first:
            findings += self._on_stack(rule, stack, context)
        stack = Stack(stack.resources, judge, tuple(unread), frozenset(self._waived))
        for rule in last:
            findings += self._on_stack(rule, stack, context)
        return findings

    def _postponed(
        self, resources: list[Resource], context: Context
    ) -> tuple[list[Finding], list[tuple[Resource, tuple[str, ...], str]]]:
        """The rules that could not read a resource alone, now that dependencies are known."""
        findings: list[Finding] = []
        unread: dict[tuple[int, str], tuple[Resource, list[str]]] = {}
        for resource in resources:
            pending = self._pending.get(resource.urn, {})
            grants = granted(resource) if pending else []
            for rule in pending.values():
                said, unknown = self._run(rule, resource, context, grants)
                findings += said
                if unknown is not None and not said:
                    entry = unread.setdefault((id(resource), unknown), (resource, []))
                    entry[1].append(rule.id)
        return findings, [
            (resource, tuple(ids), path) for (_, path), (resource, ids) in unread.items()
        ]

    def _connected(self, given: Sequence[Given]) -> list[Resource]:
        """The stack's resources with what each property depends on.

        Inputs as the resource policies saw them: among outputs an unset flag is unknown.
        """
        found = {one.urn: self._seen.get(one.urn) or one.read() for one in given}
        for one in given:
            depends = found[one.urn].depends
            depends.clear()
            for name, urns in one.depends.items():
                if sources := tuple(found[urn] for urn in urns if urn in found):
                    depends[name] = sources
        return list(found.values())

    def _rules_for(self, kind: str, grants: bool) -> list[Rule]:
        key = (kind, grants)
        if key not in self._by_kind:
            self._by_kind[key] = [
                rule
                for rule in self.rules
                if (rule.each == "grant" and grants)
                or (rule.each == "resource" and (not rule.types or kind in rule.types))
            ]
        return self._by_kind[key]

    def _on_stack(self, rule: Rule, stack: Stack, context: Context) -> list[Finding]:
        if rule.id in context.config.not_required:
            return []
        said: dict[tuple[str, str], Resource] = {}
        try:
            for resource, text in rule.check(stack, context):
                said[resource.urn, text] = resource
        except Exception as error:
            return [_broken(rule, stack.root, context.config, error)]
        return [
            finding
            for (_, text), resource in said.items()
            for finding in self._report(rule, resource, context.config, text)
        ]

    def _run(
        self, rule: Rule, resource: Resource, context: Context, grants: list[Grant]
    ) -> tuple[list[Finding], str | None]:
        """What a rule says, and the property that it could not read."""
        if rule.id in context.config.not_required:
            return [], None
        try:
            said, unread = rule.on(resource, context, grants)
        except Exception as error:
            return [_broken(rule, resource, context.config, error)], None
        findings: list[Finding] = []
        for text in dict.fromkeys(said) if said else ():
            findings += self._report(rule, resource, context.config, text)
        return findings, unread

    def _report(self, rule: Rule, resource: Resource, config: Config, text: str) -> list[Finding]:
        for waiver in config.waivers:
            if waiver.covers(rule.id, resource.where) and waiver.expires >= today():
                self._waived.add(waiver)
                said = (
                    f"{rule.id} is waived for {resource.where} until {waiver.expires} by "
                    f"{waiver.owner}: {waiver.reason}. It says: {text}"
                )
                return [Finding(False, said, resource.urn)]
        return [Finding(rule.mandatory and config.strict, message(rule, text), resource.urn)]


def _broken(rule: Rule, resource: Resource, config: Config, error: Exception) -> Finding:
    """A rule that failed lets nothing through."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    file = Path(frame.filename)
    at = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
    said = f"{type(error).__name__}: {error} ({at}:{frame.lineno})"
    text = f"{rule.id} failed on {resource.where}, which nobody judged by it: {said}"
    return Finding(config.strict, text, resource.urn)


def _resource(given: ResourceValidationArgs | PolicyResource) -> Resource:
    provider = plain(given.provider.props) if given.provider else {}
    project = provider.get("project")
    return Resource(
        given.resource_type,
        given.name,
        given.urn,
        plain(given.props),
        project if isinstance(project, str) else "",
    )


def _whole(args: StackValidationArgs) -> Whole:
    return Whole(
        tuple(
            Given(
                one.urn,
                {name: [r.urn for r in of] for name, of in one.property_dependencies.items()},
                partial(_resource, one),
            )
            for one in args.resources
        )
    )


Judged = Callable[[Any], list[Finding]]


def _once(judged: Judged) -> Callable[[Any, bool], list[Finding]]:
    """Findings that the second of two policies, which run one after the other, need not make anew.

    Only the other one takes what one left: either may be switched off.
    """
    kept = threading.local()

    def findings(args: Any, blocks: bool) -> list[Finding]:
        key = (getattr(args, "urn", ""), not blocks)
        if getattr(kept, "key", None) == key:
            kept.key = None
            found: list[Finding] = kept.findings
            return found
        kept.findings = judged(args)
        kept.key = (key[0], blocks)
        return list(kept.findings)

    return findings


def policies(pack: Pack) -> list[Policy]:
    """`google-cloud` blocks and `google-cloud-advice` advises; -stack and -stack-advice too."""
    resource, stack = _once(pack.resource), _once(pack.stack)

    def speaking(
        judged: Callable[[Any, bool], list[Finding]], blocks: bool
    ) -> Callable[[Any, ReportViolation], None]:
        def validate(args: Any, report: ReportViolation) -> None:
            for finding in judged(args, blocks):
                if finding.mandatory == blocks:
                    report(finding.message, finding.urn)

        return validate

    made: list[Policy] = []
    for suffix, level in (("", EnforcementLevel.MANDATORY), ("-advice", EnforcementLevel.ADVISORY)):
        blocks = level is EnforcementLevel.MANDATORY
        made += [
            ResourceValidationPolicy(
                NAME + suffix, DESCRIPTION, speaking(resource, blocks), enforcement_level=level
            ),
            StackValidationPolicy(
                f"{NAME}-stack{suffix}",
                DESCRIPTION,
                speaking(stack, blocks),
                enforcement_level=level,
            ),
        ]
    return made
