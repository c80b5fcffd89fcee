"""The policy pack. Only this file starts it: rules live in modules that can be imported.

Every rule comes twice, mandatory and advisory, and the stack's name decides which one speaks:
policy configuration and environment variables are missing in some ways of running a pack, the name
in the resource's URN never is. A stack that is not known to be lenient is strict.
"""

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
)

from policies.grants import broad_grant

LENIENT_STACKS = frozenset({"staging"})

Rule = Callable[[ResourceValidationArgs, ReportViolation], None]


def both_levels(name: str, rule: Rule) -> list[Policy]:
    """`rule` as a mandatory policy for strict stacks and an advisory one for lenient stacks."""

    def where(lenient: bool) -> Rule:
        def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
            stack = args.urn.removeprefix("urn:pulumi:").partition("::")[0]
            if (stack in LENIENT_STACKS) == lenient:
                rule(args, report)

        return validate

    description = rule.__doc__ or name
    return [
        ResourceValidationPolicy(
            name, description, where(False), enforcement_level=EnforcementLevel.MANDATORY
        ),
        ResourceValidationPolicy(
            f"{name}-advice", description, where(True), enforcement_level=EnforcementLevel.ADVISORY
        ),
    ]


PolicyPack("predictive-maintenance", both_levels("broad-grant", broad_grant))
