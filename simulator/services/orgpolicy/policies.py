"""The API: policies on projects, folders and organisations.

Permissions: orgpolicy.policies.create as a recorded 403 names it; the others by their names, and
getEffectivePolicy by the one for reading, which are inferences.
"""

from __future__ import annotations

from typing import Any

from simulator.api.calls import Call, Methods
from simulator.api.errors import aborted, already_exists, invalid, not_found
from simulator.api.honoured import Table
from simulator.api.pages import listing
from simulator.api.patching import mask_paths
from simulator.core.platform import Containers
from simulator.iam import conditions
from simulator.services.orgpolicy.state import BOOLEAN, CONSTRAINTS, LIST, OrgPolicies, OrgPolicy

method = Methods()

PLACES = ("projects", "folders", "organizations")
SPECS = ("spec", "dryRunSpec")
PAGED = "pageSize pageToken"
FORMS = ("allowAll", "denyAll", "enforce", "values")

HONOURED = Table(
    "orgpolicy",
    {
        # Nothing here logs what a dry run would have refused.
        "Policy": "dryRunSpec etag name spec",
        "PolicySpec": "etag inheritFromParent reset rules",
        "PolicySpecPolicyRule": "allowAll condition denyAll enforce values",
        "PolicySpecPolicyRuleStringValues": "allowedValues deniedValues",
        "GoogleTypeExpr": "*",
    },
)


def _ids(verb: str) -> list[str]:
    return [f"orgpolicy.{place}.{verb}" for place in PLACES]


def _on(call: Call) -> str:
    reference: str = call.params.get("name") or call.params["parent"]
    return "/".join(reference.split("/")[:2])


def _missing() -> Exception:
    return not_found("Requested entity was not found.")


def _constraint(name: str) -> str:
    constraint = name.rpartition("/")[2]
    if constraint not in CONSTRAINTS:
        raise _missing()
    return constraint


def _policy(call: Call) -> OrgPolicy:
    _constraint(call.params["name"])
    policy = call.cloud[OrgPolicies].get(call.params["name"])
    if policy is None:
        raise _missing()
    return policy


def _checked(body: dict[str, Any], constraint: str) -> dict[str, Any]:
    """The specs of a policy; Google's own words for what is refused here are not recorded."""
    given = {key: body[key] for key in SPECS if body.get(key) is not None}
    for key, spec in given.items():
        kept = ("inheritFromParent", "reset", "rules")
        given[key] = {name: spec[name] for name in kept if spec.get(name)}
        _check_spec(spec, CONSTRAINTS[constraint])
    return given


def _check_spec(spec: dict[str, Any], kind: str) -> None:
    rules = spec.get("rules", [])
    if spec.get("reset") and (rules or spec.get("inheritFromParent")):
        raise invalid("A policy that is reset has no rules and inherits nothing.")
    if kind == BOOLEAN and spec.get("inheritFromParent"):
        raise invalid("inherit_from_parent can be set for list constraints only.")
    for rule in rules:
        forms = [form for form in FORMS if rule.get(form) is not None]
        if len(forms) != 1 or (kind == LIST) is (forms == ["enforce"]):
            wanted = "enforce" if kind == BOOLEAN else "one of values, allow_all and deny_all"
            raise invalid(f"A rule for a {kind} constraint sets {wanted}.")
        if rule.get("condition"):
            conditions.compiled_denial(rule["condition"].get("expression", ""))
    plain = [rule for rule in rules if not rule.get("condition")]
    if kind == BOOLEAN and rules:
        if len(plain) != 1:
            raise invalid("There must be exactly one policy rule where a condition is unset.")
        if any(r["enforce"] is plain[0]["enforce"] for r in rules if r.get("condition")):
            raise invalid("Rules with conditions must set enforce to the opposite of the other.")


def _json(call: Call, policy: OrgPolicy) -> dict[str, Any]:
    stamped = {"etag": policy.etag, "updateTime": policy.updated}
    answer = {"name": call.cloud[Containers].numbered(policy.name), "etag": policy.etag}
    return answer | {key: spec | stamped for key, spec in policy.given.items()}


def _check_etag(policy: OrgPolicy, body: dict[str, Any]) -> None:
    for etag in (body.get("etag"), *(body.get(key, {}).get("etag") for key in SPECS)):
        if etag not in (None, "", policy.etag):
            raise aborted("The organization policy changed since this etag was read.")


@method(*_ids("policies.create"), permission="orgpolicy.policies.create", on=_on)
def create(call: Call) -> dict[str, Any]:
    constraint = _constraint(call.body.get("name", ""))
    name = f"{call.resource}/policies/{constraint}"
    if call.cloud[OrgPolicies].get(name):
        raise already_exists("Requested entity already exists")
    policy = OrgPolicy(name, _checked(call.body, constraint))
    call.cloud[OrgPolicies].save(policy)
    return _json(call, policy)


@method(*_ids("policies.get"), permission="orgpolicy.policy.get", on=_on)
def get(call: Call) -> dict[str, Any]:
    return _json(call, _policy(call))


@method(*_ids("policies.list"), permission="orgpolicy.policies.list", on=_on, reads=PAGED)
def list_policies(call: Call) -> dict[str, Any]:
    items = {item.name: _json(call, item) for item in call.cloud[OrgPolicies].on(call.resource)}
    return listing("policies", items, call.params, default=100, most=1000)


@method(*_ids("policies.patch"), permission="orgpolicy.policies.update", on=_on, reads="updateMask")
def patch(call: Call) -> dict[str, Any]:
    """Overwrites what the mask names: `policy.spec`, `policy.dry_run_spec`; without one, both."""
    policy = _policy(call)
    _check_etag(policy, call.body)
    named = {path.removeprefix("policy.") for path in mask_paths(call.params.get("updateMask"))}
    replaced = [key for key in SPECS if not named or key in named or "*" in named]
    given = _checked(call.body, policy.name.rpartition("/")[2])
    policy.given = {key: spec for key, spec in policy.given.items() if key not in replaced}
    policy.given |= {key: given[key] for key in replaced if key in given}
    call.cloud[OrgPolicies].save(policy)
    return _json(call, policy)


@method(*_ids("policies.delete"), permission="orgpolicy.policies.delete", on=_on, reads="etag")
def delete(call: Call) -> dict[str, Any]:
    policy = _policy(call)
    _check_etag(policy, {"etag": call.params.get("etag")})
    call.cloud[OrgPolicies].delete(policy)
    return {}


@method(*_ids("policies.getEffectivePolicy"), permission="orgpolicy.policy.get", on=_on)
def get_effective(call: Call) -> dict[str, Any]:
    """What applies to the resource, with conditions evaluated and without an etag."""
    policies, constraint = call.cloud[OrgPolicies], _constraint(call.params["name"])
    if CONSTRAINTS[constraint] == BOOLEAN:
        rules = [{"enforce": policies.enforced(constraint, call.resource)}]
    else:
        rules = policies.list_rules(constraint, call.resource) or [{"allowAll": True}]
    rules = [{key: rule[key] for key in rule if key != "condition"} for rule in rules]
    name = call.cloud[Containers].numbered(f"{call.resource}/policies/{constraint}")
    return {"name": name, "spec": {"rules": rules}}


@method(*_ids("constraints.list"), permission="orgpolicy.constraints.list", on=_on, reads=PAGED)
def list_constraints(call: Call) -> dict[str, Any]:
    items = {
        name: {
            "name": call.cloud[Containers].numbered(f"{call.resource}/constraints/{name}"),
            "constraintDefault": "ALLOW",
            f"{kind}Constraint": {},
        }
        for name, kind in CONSTRAINTS.items()
    }
    return listing("constraints", items, call.params, default=1000, most=1000)
