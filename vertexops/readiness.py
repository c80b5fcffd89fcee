"""ServicesReady, AccessReady: wait for what will be used, not for time to pass. FoundationReady
looks once.

Enabling an API and changing a policy are answered long before all of Google knows of them: about
two minutes, sometimes seven or more (gcp-facts/03_custom_roles.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from pulumi_plugin.kinds import Change, Context, Failure, Kind, ProviderError, Resource
from pulumi_plugin.values import UNKNOWN, Props, changed_keys
from vertexops import forms
from vertexops.errors import BECOME, TOKENS, GoogleError, Json, explain
from vertexops.google import SCOPE, Google
from vertexops.schema import ACCESS_READY, FOUNDATION_READY, PACKAGE, SERVICES_READY
from vertexops.waiting import Clock, Waiting

DEADLINE = 600

# One cheap call per service. Any answer but SERVICE_DISABLED, a denial or a 404 among them, shows
# that the API serves (gcp-facts/02_errors.md, JSON C).
#
# Security Token Service has no read: an exchange of an invalid token does nothing.
PROBES: dict[str, tuple[str, str]] = {
    "aiplatform": (
        "GET",
        "https://{region}-aiplatform.googleapis.com/v1/projects/{project}/locations/{region}"
        "/endpoints?pageSize=1",
    ),
    "bigquery": (
        "GET",
        "https://bigquery.googleapis.com/bigquery/v2/projects/{project}/datasets?maxResults=1",
    ),
    "cloudresourcemanager": (
        "GET",
        "https://cloudresourcemanager.googleapis.com/v1/projects/{project}",
    ),
    "compute": (
        "GET",
        "https://compute.googleapis.com/compute/v1/projects/{project}/regions/{region}",
    ),
    "iam": ("GET", "https://iam.googleapis.com/v1/projects/{project}/serviceAccounts?pageSize=1"),
    "iamcredentials": (
        "GET",
        "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts"
        "/readiness@{project}.iam.gserviceaccount.com/allowedLocations",
    ),
    "logging": ("GET", "https://logging.googleapis.com/v2/projects/{project}/sinks?pageSize=1"),
    "monitoring": (
        "GET",
        "https://monitoring.googleapis.com/v3/projects/{project}/notificationChannels?pageSize=1",
    ),
    "pubsub": ("GET", "https://pubsub.googleapis.com/v1/projects/{project}/topics?pageSize=1"),
    "serviceusage": (
        "GET",
        "https://serviceusage.googleapis.com/v1/projects/{project}/services"
        "/serviceusage.googleapis.com",
    ),
    "storage": (
        "GET",
        "https://storage.googleapis.com/storage/v1/b?project={project}&maxResults=1",
    ),
    "sts": ("POST", "https://sts.googleapis.com/v1/token"),
}
KNOWN = {f"{name}.googleapis.com": name for name in PROBES}


class ServicesReady(Kind):
    def __init__(self, google: Google, clock: Clock) -> None:
        self.google, self.clock = google, clock

    def check(
        self, inputs: Props, old_inputs: Props, context: Context
    ) -> tuple[Props, list[Failure]]:
        inputs, failures = PACKAGE.check(SERVICES_READY, inputs)
        for key, default in (("project", self.google.project), ("region", self.google.region)):
            if default and key not in inputs:
                inputs[key] = default
            if key not in inputs:
                failures.append(Failure(key, "is missing: set it here or on the provider"))
        services = inputs.get("services")
        for i, service in enumerate(services if isinstance(services, list) else []):
            if isinstance(service, str) and service not in KNOWN:
                failures.append(
                    Failure(f"services[{i}]", f"is {service!r}, not one of {', '.join(KNOWN)}")
                )
        return inputs, failures

    def diff(self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props) -> Change:
        return _diff(old_inputs, inputs, replaces="project", order_free="services")

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        self._wait(inputs, context)
        return f"projects/{inputs['project']}/services", dict(inputs)

    def update(
        self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props, context: Context
    ) -> Props:
        self._wait(inputs, context)
        return dict(inputs)

    def read(self, id: str, inputs: Props, outputs: Props, context: Context) -> Resource | None:
        return _as_it_is(id, inputs, outputs)

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        """Nothing was made."""

    def _wait(self, inputs: Props, context: Context) -> None:
        off = dict.fromkeys(inputs["services"], "")

        def look() -> list[str]:
            for service in list(off):
                text = self._probe(service, inputs)
                if text is None:
                    del off[service]
                else:
                    off[service] = text
            return [f"{service} is not on yet: {text}" for service, text in off.items()]

        deadline = inputs.get("deadlineSeconds", DEADLINE)
        _poll(look, "services", deadline, context, self.clock)

    def _probe(self, service: str, inputs: Props) -> str | None:
        """None when the service serves, otherwise what was answered instead."""
        verb, url = PROBES[KNOWN[service]]
        address = url.format(project=inputs["project"], region=inputs["region"])
        body = _no_exchange(inputs["project"]) if service.startswith("sts.") else None
        try:
            self.google.request(verb, address, body)
        except GoogleError as error:
            if error.reason == "SERVICE_DISABLED" or (error.code != 429 and error.is_transient):
                return error.message
        return None


def _no_exchange(project: str) -> Json:
    return {
        "grantType": "urn:ietf:params:oauth:grant-type:token-exchange",
        "requestedTokenType": "urn:ietf:params:oauth:token-type:access_token",
        "subjectTokenType": "urn:ietf:params:oauth:token-type:jwt",
        "subjectToken": "none",
        "scope": SCOPE,
        "audience": f"//iam.googleapis.com/projects/{project}/locations/global"
        "/workloadIdentityPools/none/providers/none",
    }


# Where each kind of resource tests permissions (gcp-facts/08_iot_and_testiam.md), by the last
# segment but one of its name. Buckets answer a GET.
TESTS = {
    "projects": "https://cloudresourcemanager.googleapis.com/v1/projects/{id}:testIamPermissions",
    "serviceAccounts": "https://iam.googleapis.com/v1/{resource}:testIamPermissions",
    "buckets": "https://storage.googleapis.com/storage/v1/b/{id}/iam/testPermissions",
    "topics": "https://pubsub.googleapis.com/v1/{resource}:testIamPermissions",
}
AT_ONCE = 100
WHERE_TO_LOOK = (
    "Look at the roles granted on these resources, and whether the custom roles among them hold "
    "these permissions; a change takes about 2 minutes, sometimes 7 or more."
)


FOUNDATION_FIRST = (
    "Run `pulumi up` on this environment's stack of layer foundation first; where that has just "
    "run, access takes about 2 minutes to be known everywhere, sometimes 7 or more."
)
LOOK = 30


class AccessReady(Kind):
    def __init__(self, google: Google, clock: Clock) -> None:
        self.google, self.clock = google, clock

    def check(
        self, inputs: Props, old_inputs: Props, context: Context
    ) -> tuple[Props, list[Failure]]:
        inputs, failures = PACKAGE.check(ACCESS_READY, inputs)
        failures += forms.ACCOUNT.check(inputs.get("principal"), "principal")
        return inputs, [*failures, *_untestable(inputs)]

    def diff(self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props) -> Change:
        return _diff(
            old_inputs,
            inputs,
            replaces="principal",
            order_free="needs",
            stables=("principal", "email"),
        )

    def preview(self, inputs: Props, old_outputs: Props | None) -> Props:
        if old_outputs:
            return inputs | {"email": old_outputs.get("email", UNKNOWN)}
        return inputs | {"principal": UNKNOWN, "email": UNKNOWN}

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        return inputs["principal"], self._wait(inputs, context)

    def update(
        self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props, context: Context
    ) -> Props:
        return self._wait(inputs, context)

    def read(self, id: str, inputs: Props, outputs: Props, context: Context) -> Resource | None:
        return _as_it_is(id, inputs, outputs)

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        """Nothing was made."""

    def _wait(self, inputs: Props, context: Context) -> Props:
        principal, token = inputs["principal"], ""

        def look() -> list[str]:
            nonlocal token
            try:
                token = token or self._token(principal)
            except GoogleError as error:
                if not error.is_transient and error.code not in (403, 404):
                    raise ProviderError(f"no token for {principal}: {error.message}") from error
                who, _ = self.google.turned_away()
                return [f"{BECOME} on {TOKENS}/{principal} for {who}: {error.message}"]
            # Answers flicker while a change spreads: everything has to be there in one round.
            return [
                line
                for need in inputs["needs"]
                for line in _missing(self.google, principal, need, token)
            ]

        deadline = inputs.get("deadlineSeconds", DEADLINE)
        _poll(look, "permissions", deadline, context, self.clock, WHERE_TO_LOOK)
        return inputs | {"email": principal}

    def _token(self, principal: str) -> str:
        answer = self.google.request(
            "POST",
            f"https://iamcredentials.googleapis.com/v1/{TOKENS}/{principal}:generateAccessToken",
            {"scope": [SCOPE], "lifetime": "3600s"},
        )
        return str(answer["accessToken"])


class FoundationReady(Kind):
    """What a rollout stands on is another stack's: looked at in each `up`, waited for never, as
    that stack has waited for it.

    Whether to `look` is the program's to say: a preview must not try to become the deployer, and a
    provider is not told which operation it checks for.
    """

    def __init__(self, google: Google, clock: Clock) -> None:
        self.google, self.clock = google, clock

    def check(
        self, inputs: Props, old_inputs: Props, context: Context
    ) -> tuple[Props, list[Failure]]:
        inputs, failures = PACKAGE.check(FOUNDATION_READY, inputs)
        failures += forms.ENDPOINT.check(inputs.get("endpoint"), "endpoint")
        failures += _untestable(inputs)
        if inputs.get("look") and not failures and (missing := self._missing(inputs)):
            lines = "\n".join(f"  {line}" for line in missing)
            failures.append(Failure("", f"the foundation lacks:\n{lines}\n{FOUNDATION_FIRST}"))
        return inputs, failures

    def _missing(self, inputs: Props) -> list[str]:
        try:
            self._host(inputs["endpoint"])
        except GoogleError as error:
            return [str(explain(error, f"reading {inputs['endpoint']}", self.google))]
        return [
            line
            for need in inputs["needs"]
            for line in _missing(self.google, self.google.identity, need)
        ]

    def _host(self, endpoint: str) -> str:
        vertex = self.google.vertex(forms.ENDPOINT.parse(endpoint)["location"])
        found = Waiting(Context(), LOOK, self.clock).call(vertex.endpoint, endpoint)
        return str(found.get("dedicatedEndpointDns", ""))

    def diff(self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props) -> Change:
        old, new = ({k: v for k, v in i.items() if k != "look"} for i in (old_inputs, inputs))
        return _diff(old, new, replaces="endpoint", order_free="needs")

    def preview(self, inputs: Props, old_outputs: Props | None) -> Props:
        if old_outputs and old_outputs["endpoint"] == inputs["endpoint"]:
            return inputs | {"dedicatedEndpointDns": old_outputs["dedicatedEndpointDns"]}
        return inputs | {"dedicatedEndpointDns": UNKNOWN}

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        return inputs["endpoint"], inputs | {"dedicatedEndpointDns": self._host(inputs["endpoint"])}

    def update(
        self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props, context: Context
    ) -> Props:
        return self.create(inputs, context)[1]

    def read(self, id: str, inputs: Props, outputs: Props, context: Context) -> Resource | None:
        return _as_it_is(id, inputs, outputs)

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        """Nothing was made."""


def _untestable(inputs: Props) -> list[Failure]:
    """Needs on what is none of the resources on which permissions can be tested."""
    needs = inputs.get("needs")
    return [
        Failure(
            f"needs[{i}].resource",
            f"is {need['resource']!r}, not projects/P, projects/P/serviceAccounts/EMAIL, "
            "projects/P/topics/T or projects/_/buckets/B",
        )
        for i, need in enumerate(needs if isinstance(needs, list) else [])
        if isinstance(need, dict)
        and isinstance(need.get("resource"), str)
        and _collection(need["resource"]) not in TESTS
    ]


def _missing(google: Google, principal: str, need: Props, token: str = "") -> list[str]:
    """What `principal` lacks of a need; it is the bearer of `token`, or the provider itself."""
    resource, wanted = need["resource"], need["permissions"]
    kind = _collection(resource)
    url = TESTS[kind].format(id=resource.rpartition("/")[2], resource=resource)
    held: set[str] = set()
    said = ""
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        try:
            if kind == "buckets":
                query = urlencode([("permissions", permission) for permission in some])
                answer = google.request("GET", f"{url}?{query}", token=token)
            else:
                answer = google.request("POST", url, {"permissions": some}, token=token)
        except GoogleError as error:
            # 400 is a permission that does not exist or cannot be had on this resource.
            if error.code == 400:
                raise ProviderError(f"testing on {resource}: {error.message}") from error
            said = f": {error.message}"
        else:
            held |= set(answer.get("permissions", []))
    return [f"{p} on {resource} for {principal}{said}" for p in wanted if p not in held]


def _collection(resource: str) -> str:
    """`projects`, `serviceAccounts`, `topics` or `buckets`; '' when the name has another shape."""
    match resource.split("/"):
        case ["projects", project] if project:
            return "projects"
        case ["projects", project, "serviceAccounts", email] if project and email:
            return "serviceAccounts"
        case ["projects", project, "topics", topic] if project and topic:
            return "topics"
        case ["projects", "_", "buckets", bucket] if bucket:
            return "buckets"
    return ""


def _poll(
    look: Callable[[], list[str]],
    what: str,
    deadline: Any,
    context: Context,
    clock: Clock,
    hint: str = "",
) -> None:
    """Look until nothing is missing. `look` returns one line for each thing that is."""
    if deadline == 0:
        return
    waiting = Waiting(context, float(deadline), clock)
    while missing := look():
        context.status(f"waiting for {len(missing)} {what} ({waiting.elapsed:.0f} s)")
        if not waiting.pause():
            lines = "\n".join(f"  {line}" for line in missing)
            message = f"after {waiting.seconds:.0f} s still missing:\n{lines}\n{hint}"
            raise ProviderError(message.rstrip())


def _diff(
    old: Props, new: Props, *, replaces: str, order_free: str, stables: tuple[str, ...] = ()
) -> Change:
    """What to look at again. How long to wait for it is no change."""
    changed = set(changed_keys(old, new)) - {"deadlineSeconds"}
    if order_free in changed and _sorted(old.get(order_free)) == _sorted(new.get(order_free)):
        changed.remove(order_free)
    if replaces in changed:
        return Change(tuple(sorted(changed - {replaces})), (replaces,))
    return Change(tuple(sorted(changed)), (), stables)


def _sorted(items: Any) -> Any:
    return sorted(items, key=repr) if isinstance(items, list) else items


def _as_it_is(id: str, inputs: Props, outputs: Props) -> Resource:
    if not inputs:
        raise ProviderError("there is nothing to import: readiness is only ever waited for")
    return Resource(id, inputs, outputs)
