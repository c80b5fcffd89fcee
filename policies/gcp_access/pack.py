"""The rules as Pulumi policies: four in all, for the protocol reads a resource anew for each.

Resource policies judge what a resource is given, before it is created. What they cannot read in a
preview is judged by the stack policies, which see what it depends on. There are two of each, for
enforcement is a policy's and not a finding's: one speaks where findings block, one where they
advise. Project and stack decide; they are in every URN, in every way of running a pack.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyConfigSchema,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

from .config import Configs, Environment, Waiver, schema
from .grants import Grant, granted
from .judge import Declared, Judge
from .lookup import Lookup
from .rules.rule import SEVERITIES, Context, Rule, today
from .stack import Stack
from .view import Resource, plain

NAME: Final = "google-cloud"
DESCRIPTION: Final = "Access to Google Cloud stays small"
ROOT: Final = Path(__file__).parents[1]
LAST: Final = ("X3", "X4")
"""Rules about what the others did."""


@dataclass(frozen=True)
class Finding:
    """What one rule said of one resource."""

    rule: Rule
    resource: Resource
    said: str
    mandatory: bool
    waiver: Waiver | None = None
    """The waiver that excuses it."""
    failed: bool = False
    """Whether the rule itself failed."""

    @property
    def message(self) -> str:
        """As the pack reports it, but for the fix."""
        if self.failed:
            return self.said
        if self.waiver:
            until = f"{self.waiver.expires} by {self.waiver.owner}: {self.waiver.reason}"
            return (
                f"{self.rule.id} is waived for {self.resource.where} until {until}. "
                f"It says: {self.said}"
            )
        return f"{self.rule.id} ({self.rule.severity}) {self.said}"


def reported(findings: Sequence[Finding]) -> Iterator[tuple[str, str]]:
    """Messages, each with its URN: all that is found in a resource in one, worst first, each fix
    once; waivers, and rules that failed, by themselves."""
    together: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.waiver or finding.failed:
            yield finding.message, finding.resource.urn
        else:
            together.setdefault(finding.resource.urn, []).append(finding)
    for urn, found in together.items():
        found.sort(key=lambda one: SEVERITIES.index(one.rule.severity))
        lines: list[str] = []
        for remedy, alike in groupby(found, lambda one: one.rule.remedy):
            lines += [one.message for one in alike]
            lines.append("  Fix:\n    " + remedy.replace("\n", "\n    "))
        yield "\n".join(lines), urn


@dataclass
class Pack:
    """The rules at work on one program. The engine calls from several threads."""

    rules: tuple[Rule, ...]
    configs: Configs
    lookup: Lookup = field(default_factory=Lookup)
    seen: dict[str, Resource] = field(default_factory=dict)
    """By URN: the inputs that the resource policies were shown."""
    _pending: dict[str, dict[str, Rule]] = field(default_factory=dict)
    _declared: Declared = field(default_factory=Declared)
    _waived: set[Waiver] = field(default_factory=set)
    _by_kind: dict[tuple[str, bool, int], list[Rule]] = field(default_factory=dict)

    def resource(self, resource: Resource, *, updating: bool = False) -> list[Finding]:
        """What is wrong with one resource; what cannot be told yet is kept for the stack.

        `updating`: a preview came before. What is not declared by now, as a role is before the
        grants that depend on it, is not this stack's, and must not be granted first and judged
        later.
        """
        environment = self.configs.of(resource.program)
        self.seen[resource.urn] = resource
        if resource.package in environment.config.harmless_packages:
            return []
        self._declared.note(resource)
        judge = Judge(environment, self._declared, self.lookup, complete=updating)
        context = Context(environment, judge)
        grants = granted(resource)
        pending: dict[str, Rule] = {}
        findings: list[Finding] = []
        for rule in self._rules_for(resource.kind, bool(grants), environment):
            said, unknown = self._run(rule, resource, context, grants)
            findings += said
            if unknown is not None and not said:
                pending[rule.id] = rule
        self._pending[resource.urn] = pending
        return findings

    def stack(self, given: Sequence[tuple[Resource, Mapping[str, Sequence[str]]]]) -> list[Finding]:
        """What is wrong with the stack as a whole, and what only dependencies can tell.

        `given`: each resource, with the URNs that each of its properties depends on.
        """
        if not given:
            return []
        environment = self.configs.of(given[0][0].program)
        harmless = environment.config.harmless_packages
        resources = [one for one in self._connected(given) if one.package not in harmless]
        declared = Declared()
        for resource in resources:
            declared.note(resource)
        judge = Judge(environment, declared, self.lookup, complete=True)
        context = Context(environment, judge)
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

    def _connected(
        self, given: Sequence[tuple[Resource, Mapping[str, Sequence[str]]]]
    ) -> list[Resource]:
        """The stack's resources with what each property depends on.

        Inputs as the resource policies saw them: among outputs an unset flag is unknown.
        """
        found = {one.urn: self.seen.get(one.urn, one) for one, _ in given}
        for one, depends in given:
            resource = found[one.urn]
            resource.depends.clear()
            for name, urns in depends.items():
                if sources := tuple(found[urn] for urn in urns if urn in found):
                    resource.depends[name] = sources
        return list(found.values())

    def _rules_for(self, kind: str, grants: bool, environment: Environment) -> list[Rule]:
        key = (kind, grants, id(environment))
        if key not in self._by_kind:
            self._by_kind[key] = [
                rule
                for rule in self.rules
                if _holds(rule, environment)
                and (
                    (rule.each == "grant" and grants)
                    or (rule.each == "resource" and (not rule.types or kind in rule.types))
                )
            ]
        return self._by_kind[key]

    def _on_stack(self, rule: Rule, stack: Stack, context: Context) -> list[Finding]:
        if not _holds(rule, context.environment):
            return []
        said: dict[tuple[str, str], Resource] = {}
        try:
            for resource, text in rule.check(stack, context):
                said[resource.urn, text] = resource
        except Exception as error:
            return [_broken(rule, stack.root, context.environment, error)]
        return [
            self._finding(rule, resource, context.environment, text)
            for (_, text), resource in said.items()
        ]

    def _run(
        self, rule: Rule, resource: Resource, context: Context, grants: list[Grant]
    ) -> tuple[list[Finding], str | None]:
        """What a rule says, and the property that it could not read."""
        try:
            said, unread = rule.on(resource, context, grants)
        except Exception as error:
            return [_broken(rule, resource, context.environment, error)], None
        if not said:
            return [], unread
        environment = context.environment
        return [
            self._finding(rule, resource, environment, text) for text in dict.fromkeys(said)
        ], unread

    def _finding(
        self, rule: Rule, resource: Resource, environment: Environment, text: str
    ) -> Finding:
        for waiver in environment.config.waivers:
            if waiver.covers(rule.id, resource.where) and waiver.expires >= today():
                self._waived.add(waiver)
                return Finding(rule, resource, text, False, waiver)
        return Finding(rule, resource, text, rule.mandatory and environment.config.blocks)


def _holds(rule: Rule, environment: Environment) -> bool:
    config = environment.config
    known = config.profile == "strict" or not rule.only_strict
    return known and rule.id not in config.not_required


def _broken(rule: Rule, resource: Resource, environment: Environment, error: Exception) -> Finding:
    """A rule that failed lets nothing through."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    file = Path(frame.filename)
    at = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
    said = f"{type(error).__name__}: {error} ({at}:{frame.lineno})"
    text = f"{rule.id} failed on {resource.where}, which nobody judged by it: {said}"
    return Finding(rule, resource, text, environment.config.blocks, failed=True)


def resource_of(given: ResourceValidationArgs | PolicyResource) -> Resource:
    """A resource as Pulumi's SDK hands it to a policy."""
    provider = plain(given.provider.props) if given.provider else {}
    project = provider.get("project")
    return Resource(
        given.resource_type,
        given.name,
        given.urn,
        plain(given.props),
        project if isinstance(project, str) else "",
    )


def _whole(
    args: StackValidationArgs, seen: Mapping[str, Resource]
) -> list[tuple[Resource, Mapping[str, Sequence[str]]]]:
    return [
        (
            seen.get(one.urn) or resource_of(one),
            {name: [r.urn for r in of] for name, of in one.property_dependencies.items()},
        )
        for one in args.resources
    ]


def _once(judged: Callable[[Any], list[Finding]]) -> Callable[[Any, bool], list[Finding]]:
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
    updating = os.environ.get("PULUMI_DRY_RUN") == "false"
    resource = _once(lambda args: pack.resource(resource_of(args), updating=updating))
    stack = _once(lambda args: pack.stack(_whole(args, pack.seen)))

    def speaking(
        judged: Callable[[Any, bool], list[Finding]], blocks: bool
    ) -> Callable[[Any, ReportViolation], None]:
        def validate(args: Any, report: ReportViolation) -> None:
            pack.configs.give(args.get_config())
            found = [one for one in judged(args, blocks) if one.mandatory == blocks]
            for message, urn in reported(found):
                report(message, urn)

        return validate

    options = PolicyConfigSchema(schema())
    made: list[Policy] = []
    for suffix, level in (("", EnforcementLevel.MANDATORY), ("-advice", EnforcementLevel.ADVISORY)):
        blocks = level is EnforcementLevel.MANDATORY
        made += [
            ResourceValidationPolicy(
                NAME + suffix, DESCRIPTION, speaking(resource, blocks), level, options
            ),
            StackValidationPolicy(
                f"{NAME}-stack{suffix}", DESCRIPTION, speaking(stack, blocks), level, options
            ),
        ]
    return made
