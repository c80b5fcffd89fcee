"""Whether a live environment is as the stack declares it: the checks of the forum thread, and more.

Each check passes, fails and says how to mend it, or cannot tell and says why. Nothing is changed
but for the test endpoint, which is made and removed where that is asked for; a reading that the
endpoint is asked about is logged like any other.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby, product
from typing import Any, Final, NamedTuple

from access import sentences as said
from access.advice import ADVICE
from access.answer import Explanation, explained
from access.explain import Denial
from access.live import BIGQUERY, IAM, STORAGE, CannotTell, Grant, Live, pages
from components import permissions as table
from components.apis import SERVICES
from components.models import Model
from components.telemetry import DATASET
from vertexops import machines
from vertexops.errors import GoogleError
from vertexops.google import Google

PASS, FAIL, UNKNOWN = "pass", "fail", "cannot tell"
MARKS: Final = {PASS: "✓", FAIL: "✗", UNKNOWN: "?"}

USAGE: Final = "https://serviceusage.googleapis.com"
LOGGING: Final = "https://logging.googleapis.com/v2/entries:list"
UP: Final = "pulumi up --refresh"
QUOTA: Final = "aiplatform.googleapis.com/custom_model_serving_cpus"
"""Of the processors that all replicas may have in a region (docs vertex-ai/docs/quotas)."""
UNLIMITED: Final = -1
OPERATION_SECONDS: Final = 120
REMOVE: Final = "remove-iam-policy-binding"
REMOVING: Final = {
    "projects": "projects",
    "serviceAccounts": "iam service-accounts",
    "topics": "pubsub topics",
    "subscriptions": "pubsub subscriptions",
    "cryptoKeys": "kms keys",
}
"""What in a resource's name tells which of gcloud's commands takes a grant away."""


@dataclass(frozen=True)
class Finding:
    """`about` says what was looked at, `said` what was found, or why nobody can tell."""

    about: str
    state: str = PASS
    said: str = ""
    fix: tuple[str, ...] = ()
    check: str = ""

    def lines(self) -> list[str]:
        """For people."""
        found = f": {self.said}" if self.said else ""
        head = f"{MARKS[self.state]} {self.check}: {self.about}{found}"
        return [head, *(f"    fix: {line}" for line in self.fix)]


class Asked(NamedTuple):
    """What is asked for beyond looking at what is declared."""

    hours: float = 1.0
    """How far back denials count."""
    reading: tuple[float, ...] = ()
    """Values of the sensors; all zero unless given."""
    test_endpoint: bool = False


Findings = Iterator[Finding]


def verify(live: Live, asked: Asked) -> Findings:
    """Every finding of every check, in order. Raises ProviderError where nobody is signed in."""
    for name, check in CHECKS.items():
        for finding in check(live, asked):
            yield replace(finding, check=name)


def told(findings: Iterable[Finding]) -> Iterator[str]:
    """For people: how much of each check passed, all that did not, and the sum."""
    states: Counter[str] = Counter()
    for check, found in groupby(findings, lambda finding: finding.check):
        passed = 0
        for finding in found:
            states[finding.state] += 1
            if finding.state == PASS:
                passed += 1
            else:
                yield from finding.lines()
        if passed:
            yield f"{MARKS[PASS]} {check}: {passed}"
    yield f"{states[PASS]} passed, {states[FAIL]} failed, {states[UNKNOWN]} cannot be told"


def _judged(about: str, judge: Callable[..., Iterable[Finding]], *given: Any) -> Findings:
    """What `judge` finds of what is given; that nobody can tell, where Google does not answer."""
    try:
        yield from list(judge(*given))
    except GoogleError as error:
        yield Finding(about, UNKNOWN, f"{error.code or 'no answer'}: {error}")
    except CannotTell as error:
        yield Finding(about, UNKNOWN, str(error))


def _tried(
    about: str, live: Live, judge: Callable[..., Iterable[Finding]], *given: Any
) -> Findings:
    """The same for what is asked as an identity of the stack: that it is refused is a failure."""
    try:
        yield from list(judge(live, *given))
    except GoogleError as error:
        if error.code in (0, 404, 429, 500, 503) or "getAccessToken" in str(error):
            yield Finding(about, UNKNOWN, f"{error.code or 'no answer'}: {error}")
            return
        why = explained(str(error), live.settings)
        fix = tuple(why[0].fix["gcloud"]) if why else ("what the other checks found, first",)
        yield Finding(about, FAIL, f"{error.code}: {error}", fix)
    except CannotTell as error:
        yield Finding(about, UNKNOWN, str(error))


def apis(live: Live, asked: Asked) -> Findings:
    """The APIs that the stack calls are on."""
    yield from _judged("APIs", _apis, live)


def _apis(live: Live) -> Findings:
    project = live.settings.project
    url = f"{USAGE}/v1/projects/{project}/services?filter=state:ENABLED&pageSize=200"
    on = {item["config"]["name"] for item in pages(live.own, url, "services")}
    for service in SERVICES:
        fix = f"gcloud services enable {service} --project={project}"
        yield Finding(service) if service in on else Finding(service, FAIL, "is off", (fix,))


def accounts(live: Live, asked: Asked) -> Findings:
    """The service accounts are there and may work."""
    for identity in live.accounts:
        yield from _judged(live.settings.email(identity), _account, live, identity)


def _account(live: Live, identity: str) -> Findings:
    email = live.settings.email(identity)
    found = _found(live.own, f"{IAM}/{live.settings.account_name(identity)}")
    if found is None:
        yield Finding(email, FAIL, "is not there", (UP,))
    elif found.get("disabled"):
        yield Finding(email, FAIL, "is disabled", (f"gcloud iam service-accounts enable {email}",))
    else:
        yield Finding(email)


def roles(live: Live, asked: Asked) -> Findings:
    """Each custom role is there and holds what the table has, no more and no less."""
    settings = live.settings
    declared = {
        settings.role_name(*key): frozenset(permissions)
        for key, permissions in settings.declared_roles.items()
    }
    for role, project in settings.roles:
        if role.key in table.BEFORE:
            name = settings.role_name(role.key, project)
            declared[name] = frozenset(role.permissions)
    for name, permissions in declared.items():
        yield from _judged(name, _role, live, name, permissions)


def _role(live: Live, name: str, declared: frozenset[str]) -> Findings:
    found, (_, project, _, id) = _found(live.own, f"{IAM}/{name}"), name.split("/")
    update = f"gcloud iam roles update {id} --project={project}"
    if found is None:
        fix = "python -m access bootstrap STACK" if id in table.BEFORE else UP
        yield Finding(name, FAIL, "is not there", (fix,))
    elif found.get("deleted"):
        fix = f"gcloud iam roles undelete {id} --project={project}"
        yield Finding(name, FAIL, "is deleted", (fix,))
    elif found.get("stage") == "DISABLED":
        yield Finding(name, FAIL, "is disabled", (f"{update} --stage=GA",))
    else:
        held = frozenset(found.get("includedPermissions", ()))
        lacks, spare = sorted(declared - held), sorted(held - declared)
        wrong = [f"lacks {_some(lacks)}"] * bool(lacks) + [f"has {_some(spare)} too"] * bool(spare)
        fixes = [f"{update} --add-permissions={','.join(lacks)}"] * bool(lacks)
        fixes += [f"{update} --remove-permissions={','.join(spare)}"] * bool(spare)
        yield Finding(name, FAIL if wrong else PASS, "; ".join(wrong), tuple(fixes))


def bindings(live: Live, asked: Asked) -> Findings:
    """Each grant is there, without a condition; nobody else holds the stack's roles, and its
    accounts hold no others."""
    yield from _judged("grants", _bindings, live)


def _bindings(live: Live) -> Findings:
    grants = list(live.grants())
    for grant in grants:
        about = f"{grant.role} to {grant.identity} on {grant.on}"
        yield from _judged(about, _grant, live, grant, about)
    for place in dict.fromkeys(grant.on for grant in grants):
        declared = {(grant.role, grant.member) for grant in grants if grant.on == place}
        yield from _strangers(live, place, declared)


def _grant(live: Live, grant: Grant, about: str) -> Findings:
    try:
        policy = live.policy(grant.on)
    except GoogleError as error:
        if error.code != 404:
            raise
        yield Finding(about, FAIL, "what it is on is not there", (UP,))
        return
    found = [it for it in policy if (it.role, it.member) == (grant.role, grant.member)]
    if not found:
        yield Finding(about, FAIL, f"{grant.member} does not have it", (UP,))
    elif all(binding.condition for binding in found):
        text = f"only on the condition {found[0].condition!r}"
        yield Finding(about, FAIL, text, (*_remove(grant.on, found[0].role, grant.member), UP))
    else:
        yield Finding(about)


def _strangers(live: Live, place: str, declared: set[tuple[str, str]]) -> Findings:
    """Who holds a role of the stack there, or is an account of it, without being declared."""
    ours = {live.settings.role_id(need.role) for need in table.NEEDS}
    mine = {live.member(identity) for identity in live.accounts}
    try:
        policy = live.policy(place)
    except GoogleError:
        return  # said of each grant already
    for role, member, _ in policy:
        concerns = member in mine or role.rpartition("/roles/")[2] in ours
        if concerns and (role, member) not in declared:
            text = f"{member} has {role}, which is not declared"
            yield Finding(place, FAIL, text, _remove(place, role, member))


def _remove(place: str, role: str, member: str) -> tuple[str, ...]:
    *_, kind, name = place.split("/")
    if kind not in REMOVING:
        return (f"take {role} from {member} on {place}",)
    every = " --all" if kind == "projects" else ""
    return (f"gcloud {REMOVING[kind]} {REMOVE} {name} --member={member} --role={role}{every}",)


def permissions(live: Live, asked: Asked) -> Findings:
    """What each identity holds by its own word, whatever else there is above and beside."""
    for role, project in live.settings.roles:
        members = live.settings.callers if role.identity == table.CALLER else ("",)
        for place, member in product(live.places(role.on, project), members):
            about = f"{role.identity} {member}".strip() + f" on {place}"
            yield from _judged(about, _held, live, role, place, about, member)


def _held(live: Live, role: table.Role, place: str, about: str, member: str) -> Findings:
    found = live.held(role.identity, place, role.permissions, member)
    lacks = [permission for permission, has in found.items() if not has]
    if not lacks:
        yield Finding(about)
    elif _denied(live, role.identity, place, lacks[0], member):
        project = f"cloudresourcemanager.googleapis.com/projects/{live.settings.project}"
        fix = f"gcloud iam policies list --kind=denypolicies --attachment-point={project}"
        yield Finding(about, FAIL, f"a deny policy keeps {_some(lacks)} from it", (fix,))
    else:
        principal = (member or live.member(role.identity)).removeprefix("serviceAccount:")
        denial = Denial(said.PERMISSION, "", lacks[0], place, principal)
        fixes = Explanation(denial, live.settings).fix["gcloud"]
        yield Finding(about, FAIL, f"lacks {_some(lacks)}", tuple(fixes))


def _denied(live: Live, identity: str, place: str, permission: str, member: str) -> bool:
    """Whether a deny policy keeps it away, as far as that can be seen."""
    try:
        answer = live.troubleshoot(identity, place, permission, member)
    except CannotTell:
        return False
    state = answer.get("denyPolicyExplanation", {}).get("denyAccessState")
    return bool(state == "DENY_ACCESS_STATE_DENIED")


def models(live: Live, asked: Asked) -> Findings:
    """The deployer sees the models; those that are looked up lie where they can be read."""
    if table.REGISTER in live.settings.capabilities:
        yield from _tried("the registry, as the deployer", live, _registry)
    for version in live.settings.versions:
        if source := version.model.source:
            yield from _tried(source, live, _looked_up, version.model)


def _registry(live: Live) -> Findings:
    settings, deployer = live.settings, live.become(table.DEPLOYER)
    names = {item.get("displayName") for item in pages(deployer, f"{live.here}/models", "models")}
    for model in settings.models:
        if model.artifact and model.id in names:
            yield Finding(model.id)
        elif model.artifact:
            yield Finding(model.id, FAIL, "is not in the registry", (UP,))


def _looked_up(live: Live, model: Model) -> Findings:
    about, bucket = str(model.source), live.settings.bucket_of(model)
    found = _found(live.become(table.DEPLOYER), f"{live.vertex}/v1/{model.source}")
    if found is None:
        where = f"--project={model.source_project} --region={model.source_region}"
        yield Finding(about, FAIL, "is not there", (f"gcloud ai models list {where}",))
        return
    artifact = found.get("artifactUri", "")
    if artifact.startswith(f"gs://{bucket}/"):
        yield Finding(about)
    else:
        moved = artifact.removeprefix("gs://").partition("/")[0]
        text = f"its artifact is in {moved}, the grants are on {bucket}"
        own = model.source_project == live.settings.project
        key = "registryArtifactsBucket" if own else "sourceArtifactsBucket"
        yield Finding(about, FAIL, text, (f"pulumi config set {key} {moved}", UP))


def regions(live: Live, asked: Asked) -> Findings:
    """What the endpoint works with is in its region."""
    settings, places = live.settings, list[str]()
    if table.REGISTER in settings.capabilities:
        places.append(f"{STORAGE}/b/{settings.artifacts_bucket}")
    buckets = filter(None, (*settings.source_buckets, settings.own_bucket))
    places += [f"{STORAGE}/b/{bucket}" for bucket in buckets]
    if settings.sensors:
        places.append(
            f"{BIGQUERY}/projects/{settings.project}/datasets/{settings.dataset(DATASET)}"
        )
    for url in places:
        yield from _judged(url.rpartition("/")[2], _region, live, url)


def _region(live: Live, url: str) -> Findings:
    name, region = url.rpartition("/")[2], live.settings.region
    location = str(live.own.request("GET", url).get("location", "")).lower()
    if location == region:
        yield Finding(name)
    else:
        text = f"is in {location}, the endpoint in {region}"
        yield Finding(name, FAIL, text, (f"make another one in {region}, or move the endpoint",))


def quota(live: Live, asked: Asked) -> Findings:
    """There is room for one more version of a model, as a rollout needs."""
    yield from _judged(QUOTA, _quota, live)


def _quota(live: Live) -> Findings:
    settings, limit = live.settings, _limit(live)
    about = f"{QUOTA} in {settings.region}"
    used = sum(
        _processors(deployed)
        for endpoint in pages(live.own, f"{live.here}/endpoints", "endpoints")
        for deployed in endpoint.get("deployedModels", ())
    )
    sizes = (settings.served(version.model) for version in settings.versions)
    needed = max(0 if it.spot else it.max_replicas * machines.CPUS[it.machine_type] for it in sizes)
    if limit is None:
        yield Finding(about, UNKNOWN, "Google lists no such quota of the project")
    elif limit == UNLIMITED or limit - used >= needed:
        yield Finding(about)
    else:
        text = f"{used} of {limit} are used, a rollout needs {needed} more"
        yield Finding(about, FAIL, text, ADVICE["serving quota"].pulumi)


def _limit(live: Live) -> int | None:
    """The limit in the region: the most specific bucket, which comes last (discovery document)."""
    project, region, found = live.settings.project, live.settings.region, None
    service = f"{USAGE}/v1beta1/projects/{project}/services/aiplatform.googleapis.com"
    for metric in pages(live.own, f"{service}/consumerQuotaMetrics?view=FULL", "metrics"):
        limits = metric.get("consumerQuotaLimits", ()) if metric["metric"] == QUOTA else ()
        for bucket in (bucket for limit in limits for bucket in limit.get("quotaBuckets", ())):
            if bucket.get("dimensions", {}).get("region", region) == region:
                found = int(bucket["effectiveLimit"])
    return found


def _processors(deployed: dict[str, Any]) -> int:
    """What a deployed model is charged for: all the replicas that it may have. Spot VMs have a
    quota of their own."""
    resources = deployed.get("dedicatedResources", {})
    if resources.get("spot"):
        return 0
    machine = resources.get("machineSpec", {}).get("machineType", "")
    return int(resources.get("maxReplicaCount", 1)) * machines.CPUS.get(machine, 0)


def keys(live: Live, asked: Asked) -> Findings:
    """The stack makes no keys: one that a person made can be lost, and does not end by itself."""
    for identity in live.accounts:
        yield from _judged(live.settings.email(identity), _keys, live, identity)


def _keys(live: Live, identity: str) -> Findings:
    email, name = live.settings.email(identity), live.settings.account_name(identity)
    found = live.own.request("GET", f"{IAM}/{name}/keys?keyTypes=USER_MANAGED").get("keys", ())
    for key in found:
        id, age = key["name"].rpartition("/")[2], datetime.now(UTC) - _time(key["validAfterTime"])
        ended = ", expired" if _time(key["validBeforeTime"]) < datetime.now(UTC) else ""
        fix = f"gcloud iam service-accounts keys delete {id} --iam-account={email}"
        yield Finding(email, FAIL, f"has a key, {age.days} days old{ended}: {id}", (fix,))
    if not found:
        yield Finding(email)


def _time(moment: str) -> datetime:
    return datetime.fromisoformat(moment.replace("Z", "+00:00"))


def endpoint(live: Live, asked: Asked) -> Findings:
    """The endpoint is there, with the declared traffic."""
    yield from _judged(live.settings.endpoint_name, _endpoint, live)


def _endpoint(live: Live) -> Findings:
    name, versions = live.settings.endpoint_name, live.settings.versions
    found = _seen_endpoint(live)
    if found is None:
        yield Finding(name, FAIL, "is not there", (UP,))
        return
    shares = sorted(share for share in found.get("trafficSplit", {}).values() if share)
    declared = sorted(it.model.traffic for it in versions if it.model.traffic)
    if shares == declared:
        yield Finding(name)
    else:
        text = f"traffic is split {shares or 'to no model'}, declared is {declared}"
        yield Finding(name, FAIL, text, (UP,))


def reading(live: Live, asked: Asked) -> Findings:
    """The endpoint answers a reading, asked as the telemetry account."""
    yield from _tried(live.settings.endpoint_name, live, _reading, asked.reading)


def _reading(live: Live, given: tuple[float, ...]) -> Findings:
    name, values = live.settings.endpoint_name, given or (0.0,) * len(live.settings.sensors)
    if not values:
        raise CannotTell("the settings have no sensors; give a reading with --reading")
    url = f"{_host(live)}/v1/{name}:predict"
    answer = live.become(table.TELEMETRY).request("POST", url, {"instances": [list(values)]})
    predicted = answer.get("predictions")
    yield Finding(name) if predicted else Finding(name, FAIL, "answers no prediction", (UP,))


def _seen_endpoint(live: Live) -> dict[str, Any] | None:
    """As whoever asks sees it, or else as the deployer does. Raises GoogleError."""
    url = f"{live.vertex}/v1/{live.settings.endpoint_name}"
    try:
        return _found(live.own, url)
    except GoogleError:
        return _found(live.become(table.DEPLOYER), url)


def _host(live: Live) -> str:
    """Where the endpoint is asked for predictions. Raises CannotTell."""
    try:
        found = _seen_endpoint(live) or {}
    except GoogleError as error:
        raise CannotTell(f"where to ask it, for {error}") from error
    dns = found.get("dedicatedEndpointDns")
    return f"https://{dns}" if dns else live.vertex


def denials(live: Live, asked: Asked) -> Findings:
    """Calls of the stack's identities that were denied and would be again, with the reason; of the
    newest thousand denied calls."""
    yield from _judged(f"the audit log of {live.settings.project}", _denials, live, asked.hours)


def _denials(live: Live, hours: float) -> Findings:
    settings, since = live.settings, datetime.now(UTC) - timedelta(hours=hours)
    body = {
        "resourceNames": [f"projects/{settings.project}"],
        "filter": f'protoPayload.status.code=7 AND timestamp>="{since:%Y-%m-%dT%H:%M:%SZ}"',
        "orderBy": "timestamp desc",
        "pageSize": 1000,
    }
    kinds: dict[tuple[str, ...], Explanation] = {}
    for entry in live.own.request("POST", LOGGING, body).get("entries", ()):
        for found in explained(json.dumps(entry), settings):
            key = (found.who.identity, found.denial.permission, found.full_resource_name)
            kinds.setdefault(key, found)
    ours = [found for found in kinds.values() if found.who.identity]
    still = [finding for found in ours for finding in _still(live, found)]
    yield from still or [Finding(f"the audit log of {settings.project}")]


def _still(live: Live, found: Explanation) -> Findings:
    """A denial that was there; nothing where the identity holds what it lacked by now."""
    identity, permission = found.who.identity, found.denial.permission
    place = found.full_resource_name
    about = f"{identity} was refused {permission or 'something'} on {place or 'something'}"
    if found.need:
        try:
            if live.held(identity, place, [permission], _member(live, found))[permission]:
                return
        except CannotTell as error:
            yield Finding(about, UNKNOWN, f"nor whether that has passed: {error}")
            return
    text = "; ".join(filter(None, (found.note, found.denial.text)))
    yield Finding(about, FAIL, text, tuple(found.fix["gcloud"]))


def _member(live: Live, found: Explanation) -> str:
    """Which of callers was refused; empty for others, who are one each."""
    principal, there = found.denial.principal, live.settings.callers
    there = there if found.who.identity == table.CALLER else ()
    return next((it for it in there if principal in (it, it.partition(":")[2])), "")


def test_endpoint(live: Live, asked: Asked) -> Findings:
    """The thread's own test: make an endpoint as the deployer, and take it away again."""
    if asked.test_endpoint:
        yield from _tried("an endpoint, as the deployer", live, _test_endpoint)


def _test_endpoint(live: Live) -> Findings:
    deployer = live.become(table.DEPLOYER)
    remover = deployer if table.RETIRE in live.settings.capabilities else live.own
    made = _done(live, deployer, "POST", f"{live.here}/endpoints", {"displayName": "access-verify"})
    name = made["response"]["name"]
    try:
        _done(live, remover, "DELETE", f"{live.vertex}/v1/{name}")
    except GoogleError as error:
        fix = f"gcloud ai endpoints delete {name}"
        yield Finding(name, FAIL, f"was made, and is still there: {error}", (fix,))
    else:
        yield Finding("an endpoint was made as the deployer, and removed")


def _done(
    live: Live, who: Google, verb: str, url: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The operation that a call starts, when it is done. Raises GoogleError."""
    operation = who.request(verb, url, body)
    deadline = time.monotonic() + OPERATION_SECONDS
    while not operation.get("done"):
        if time.monotonic() > deadline:
            raise GoogleError(0, "", f"{operation['name']} is still running")
        time.sleep(0.5)
        operation = who.request("GET", f"{live.vertex}/v1/{operation['name']}")
    if error := operation.get("error"):
        raise GoogleError(int(error["code"]), "", error["message"])
    return operation


def _found(who: Google, url: str) -> dict[str, Any] | None:
    """What is there; None for nothing. Raises GoogleError."""
    try:
        return who.request("GET", url)
    except GoogleError as error:
        if error.code == 404:
            return None
        raise


def _some(names: list[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(sorted(names)[:most]) + more


CHECKS: Final[dict[str, Callable[[Live, Asked], Findings]]] = {
    "apis": apis,
    "accounts": accounts,
    "roles": roles,
    "bindings": bindings,
    "permissions": permissions,
    "denials": denials,
    "keys": keys,
    "regions": regions,
    "quota": quota,
    "models": models,
    "endpoint": endpoint,
    "reading": reading,
    "test endpoint": test_endpoint,
}
