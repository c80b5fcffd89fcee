"""The answer to a denial: what is missing, for whom, on what, which line gives it, and the fix."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from access import advice
from access import sentences as said
from access.advice import ADVICE, Advice, Named
from access.explain import (
    BY_RESOURCE,
    BY_SENTENCE,
    BY_STEP,
    BY_TABLE,
    BY_TEXT,
    Denial,
    Who,
    find_all,
    lines_for,
    place,
    who,
)
from components import permissions as table
from components.configuration import parse, raw, written
from components.settings import Settings, role_id
from policies.gcp_access import roles

SMALLEST: Final = 3
"""Predefined roles that are named where the table has no line."""

# Of a service's own, none that Google gives to itself, none that only a bucket's ACL knows.
_NOT_TO_GRANT: Final = re.compile(r"(?i)serviceagent|\.legacy|^roles/(?:owner|editor|viewer)$")

BASIC: Final = {"accountPrefix": "pm-", "rolePrefix": "predictiveMaintenance"}
"""Settings as `Pulumi.yaml` has them by default, for names where no stack is given."""


# As components/telemetry.py and routing.py have them, which take seconds to import.
NAMES: Final = {
    table.TOPIC: "telemetry",
    table.DEAD_LETTERS: "telemetry-dead-letters",
    table.SUBSCRIPTIONS: "telemetry-readings",
    table.RISKS: "telemetry-risks",
    table.LOST: "telemetry-dead-letters",
    table.TABLES: "telemetry",
}


def settings_of(stack: str, root: Path) -> Settings:
    """The settings in `Pulumi.<stack>.yaml`; `root` is the folder of `Pulumi.yaml`.

    Artifacts need not be there: nothing is deployed. Raises FileNotFoundError, SettingsError.
    """
    values = written(stack, root)
    for model in values["models"]:
        if "artifact" in model:
            model["artifact"] = "Pulumi.yaml"  # any file that is there
        model.pop("training", None)
    return parse(raw(values), root)


@dataclass(frozen=True)
class Explanation:
    """A denial and its answer, for people (`lines`) and for programs (`data`)."""

    denial: Denial
    settings: Settings | None = None

    @cached_property
    def who(self) -> Who:
        return who(self.denial, self.settings)

    @cached_property
    def needs(self) -> list[table.Need]:
        """Lines of the table that give it, to whoever was refused, as far as that is known."""
        if self.denial.kind != said.PERMISSION:
            return []
        return lines_for(self.denial, self.who.identity, self.settings)

    @property
    def need(self) -> table.Need | None:
        """The line that should have given it, unless somebody of elsewhere was refused."""
        stranger = self.who.by == BY_TEXT and not self.who.identity
        return self.needs[0] if self.needs and not stranger else None

    @cached_property
    def roles(self) -> list[str]:
        """The smallest predefined roles with the permission, the service's own before others."""
        permission = self.denial.permission
        if not permission or self.denial.kind == said.ROLE:
            return []
        own = f"roles/{permission.partition('.')[0]}."
        holding = [
            role
            for name, role in roles.ROLES.items()
            if not _NOT_TO_GRANT.search(name)
            and role.stage in ("GA", "BETA")
            and permission in role.permissions
        ]
        holding.sort(
            key=lambda role: (
                not role.name.startswith(own),
                "dmin" in role.name,
                len(role.permissions),
            )
        )
        return [role.name for role in holding[:SMALLEST]]

    @cached_property
    def full_resource_name(self) -> str:
        named = self.denial.resource
        if not named and self.settings and self.denial.about in OF_A_KEY:
            named = self.settings.kms_key or ""
        return full_resource_name(named, self.denial.permission)

    @cached_property
    def of_own_key(self) -> bool:
        """Whether it is about an agent's use of the key that encrypts what the stack keeps."""
        key = self.settings.kms_key if self.settings else None
        uses = self.denial.permission in _USES_OF_A_KEY
        return bool(key) and uses and self.full_resource_name.endswith(f"/{key}")

    @cached_property
    def note(self) -> str:
        """What is to be known beside: what it is when no role is missing, and who says so."""
        denial, notes = self.denial, list[str]()
        if denial.kind == said.UNSAID and denial.about not in ADVICE:
            notes.append("the text does not say what is missing; the audit log does (see the fix)")
        if denial.about in ADVICE:
            notes.append(ADVICE[denial.about].note.format_map(self._names))
        if denial.likely and denial.kind == said.UNSAID:
            notes.append(f"by the call it may be {' or '.join(denial.likely)}")
        elif denial.likely[1:]:
            notes.append(f"or {' or '.join(denial.likely[1:])}")
        if denial.kind == said.PERMISSION:
            notes += self._about_them()
        return "; ".join(notes)

    def _about_them(self) -> Iterator[str]:
        denial, identity = self.denial, self.who.identity
        if denial.principal == "anonymous caller":
            yield "no credentials were sent, so no role would help: log in, or give the client some"
        elif denial.principal and not identity:
            yield f"{denial.principal} is not of this stack" + (
                f"; the table gives it to: {self._others()}" if self.needs else ""
            )
        elif self.of_own_key:
            yield (
                "`kmsKey` names the key, and components/encryption.py lets Google's agents use it; "
                "such a grant stays, so somebody took it away, or it is not in effect yet"
            )
        elif not self.needs and denial.about != "quota project":
            yield "the table has no such line" + (f" for {identity}" if identity else "")
        if identity in AGENT_ROLES:
            own = AGENT_ROLES[identity]
            if denial.permission in (roles.permissions(own) or ()):
                yield (
                    f"the agent's own role, {own}, holds it in its own project: so what it was "
                    "refused is in another project, or that grant is gone"
                )
        if not roles.exists(denial.permission):
            yield f"no predefined role holds {denial.permission}: is it spelled so?"

    def _others(self) -> str:
        return ", ".join(dict.fromkeys(f"{need.identity} ({place(need)})" for need in self.needs))

    @property
    def wait(self) -> str:
        """When it may pass by itself; empty where it does not."""
        if self.denial.kind in (said.PERMISSION, said.UNSAID):
            return "" if self.denial.principal == "anonymous caller" else advice.GRANTED_LATELY
        return ADVICE[self.denial.about].wait if self.denial.about in ADVICE else ""

    @cached_property
    def _names(self) -> Named:
        """What a fix calls things: as the denial, the stack's settings or nobody names them."""
        denial, settings = self.denial, self.settings
        names = Named({k: v for k, v in denial.details.items() if v})
        on, full = denial.resource, self.full_resource_name
        names["on"] = on or "RESOURCE"
        names["permission"] = denial.permission
        project = re.search(r"projects/(?!_|-/)([^/\s]+)", f"{full} {on} {denial.call.path}")
        mail = re.search(_OF_ACCOUNT, f"{denial.principal} {on}")
        mine = settings.project if settings else ""
        found = project[1] if project else mail[1] if mail and not _is_agent(mail[1]) else ""
        if found.isdigit() and (account := re.search(_OF_ACCOUNT, on)):
            found = account[1]  # a role is named by the id of its project
        if denial.kind == said.PROJECT:
            found = on.removeprefix("projects/")
        names["project"] = found or mine or "PROJECT"
        region = re.search(r"locations/([a-z0-9-]+)", full) or re.search(
            r"\.([a-z]+-[a-z]+\d+)-\d+\.prediction\.", on
        )
        usual = settings.region if settings else "REGION"
        names.setdefault("region", region[1] if region else usual)
        endpoint = re.search(r"endpoints/([\w-]+)", f"{full} {on} {denial.call.path}")
        mine = settings.endpoint_id if settings else "ENDPOINT"
        names["endpoint"] = endpoint[1] if endpoint else mine
        names.setdefault("constraint", on if on.startswith("constraints/") else "CONSTRAINT")
        names["constraint"] = names["constraint"].removeprefix("constraints/")
        names["role_id"] = on.rpartition("/")[2] or "ROLE_ID"
        text = denial.text + str(denial.details)
        api = re.search(r"([a-z][a-z0-9-]*)\.googleapis\.com/overview", text) or re.search(
            r"'(?:service|api)': '([a-z][a-z0-9-]*)\.googleapis\.com", text
        )
        names["short"] = api[1] if api else denial.service if denial.kind == said.QUOTA else "api"
        if names["short"] in ("any", ""):
            names["short"] = on.partition(".googleapis.com")[0] if "/" in on else "api"
        names["api"] = f"{names['short']}.googleapis.com" if names["short"] != "api" else "API"
        names["quota"] = names.get("quota_limit") or on or "QUOTA"
        names["mine"] = settings.project if settings else "PROJECT"
        names["why"] = _why_not(denial.permission)
        return names

    @cached_property
    def fix(self) -> dict[str, list[str]]:
        """The smallest change that lets it pass: lines of Pulumi, commands of gcloud."""
        known = ADVICE.get(self.denial.about, Advice(""))
        pulumi = [line.format_map(self._names) for line in known.pulumi]
        gcloud = [line.format_map(self._names) for line in known.gcloud]
        if self.denial.principal == "anonymous caller":
            gcloud.append("gcloud auth application-default login")
        elif self.denial.kind == said.UNSAID:
            gcloud.append(self._log_query())
        elif self.denial.about in OF_A_KEY and self.full_resource_name:
            pulumi, gcloud = self._by_catalogue()
        elif self.denial.kind == said.PERMISSION and self.denial.about not in OF_A_KEY:
            more = self._by_table(self.need) if self.need else self._by_catalogue()
            pulumi += more[0]
            gcloud = more[1] + gcloud
        return {"pulumi": pulumi, "gcloud": gcloud}

    def _log_query(self) -> str:
        """Denied calls with their permissions. Reads of data are there only where Data Access audit
        logs are on (gcp-facts/07_metrics_alerts.md)."""
        who = self.denial.principal
        by = f' AND protoPayload.authenticationInfo.principalEmail="{who}"' if who else ""
        service = self.denial.service
        of = "" if service in ("any", "gcloud", "") else f" AND protoPayload.serviceName:{service}"
        return (
            f"gcloud logging read 'protoPayload.status.code=7{of}{by}' --freshness=1h "
            f"--project={self._names['project']} --format='table(timestamp, "
            "protoPayload.authenticationInfo.principalEmail, "
            "protoPayload.authorizationInfo[].permission, protoPayload.resourceName)'"
        )

    def _by_table(self, need: table.Need) -> tuple[list[str], list[str]]:
        """How this stack gives what the line says."""
        settings, pulumi = self.settings, list[str]()
        missing = need.when - settings.capabilities if settings else need.when
        for capability in sorted(missing):
            pulumi.append(f"{_SETTINGS[capability]}  # the line applies where {_WHY[capability]}")
        in_source = need.on in table.IN_SOURCE
        project = self._project(in_source)
        if not self.who.identity:
            pulumi.insert(0, f"# if it was the {need.identity}:")
        if need.role in table.BEFORE:
            said = "its own role" if need.on == table.KEY else "the platform's own role"
            shows = "bootstrap STACK" if need.on == table.KEY else "role platform"
            pulumi.append(
                f"# {said} exists before the stack: the command, by an owner; "
                f"`python -m access {shows}` prints all of it"
            )
            if need.on == table.KEY:
                project = (settings and settings.key_project) or "KEY_PROJECT"
            change = f"--project={project} --add-permissions={need.permission}"
            return pulumi, [f"gcloud iam roles update {need.role} {change}"]
        prefix = settings.role_prefix if settings else BASIC["rolePrefix"]
        id, role = role_id(prefix, need.role), f"projects/{project}/roles/"
        member, name = self._member(need.identity), need.identity.replace(" ", "-")
        kind, on, command = self._grant(need)
        pulumi += [
            f'gcp.projects.IAMCustomRole("{"source-" * in_source}{need.role}", project="{project}",'
            f' role_id="{id}", permissions=[…, "{need.permission}"])',
            f'{kind}("{name}-{"source-" * in_source}{need.role}", {on}, role="{role}{id}", '
            f'member="{member}")',
            f"# components/access.py declares both from {place(need)}: `pulumi up` as the platform",
        ]
        if need.on in (table.ENDPOINT, table.SUBSCRIPTIONS, table.RISKS, table.LOST):
            where = "serving" if need.on == table.ENDPOINT else "routing"
            pulumi[-1] = pulumi[-1].replace("access.py declares", f"{where}.py and access.py make")
        elif need.identity in table.FEDERATED:
            both = "federation.py and access.py make"
            pulumi[-1] = pulumi[-1].replace("access.py declares", both)
        gcloud = [
            f"gcloud iam roles update {id} --project={project} --add-permissions={need.permission}"
        ]
        if command:
            gcloud.append(f"gcloud {command} --member={member} --role={role}{id}")
        return pulumi, gcloud

    def _member(self, identity: str) -> str:
        settings, principal = self.settings, self.denial.principal
        if settings and settings.federation and identity in table.FEDERATED:
            number = re.search(r"projects/(\d+)/", principal or "")
            return settings.federated(identity, number[1] if number else "NUMBER")
        if principal and (identity == self.who.identity):
            return principal if ":" in principal else _as_member(principal)
        if identity in table.AGENTS:
            return f"serviceAccount:{table.AGENTS[identity].format('NUMBER')}"
        if settings and identity == table.PLATFORM:
            return settings.platform_member
        if settings and identity == table.CALLER and len(settings.callers) == 1:
            return settings.callers[0]
        if settings and identity == table.REVIEWER:
            return settings.preview_member or "MEMBER"
        if identity in table.ACCOUNTS:
            return f"serviceAccount:{self._email(identity)}"
        return "MEMBER"

    def _email(self, identity: str) -> str:
        if self.settings:
            return self.settings.email(identity)
        named = re.search(rf"[a-z][a-z0-9-]*{identity}@[\w.-]+", self.denial.resource)
        if named:
            return named[0]
        return f"{BASIC['accountPrefix']}{identity}@{self._names['project']}.{_ACCOUNTS}"

    def _project(self, in_source: bool) -> str:
        """Where a line applies: of other projects the one that the denial is about."""
        settings, found = self.settings, str(self._names["project"])
        if settings is None:
            return found
        others = settings.source_projects if in_source else (settings.project,)
        return found if found in others else next(iter(others), "")

    def _grant(self, need: table.Need) -> tuple[str, str, str]:
        """The Pulumi resource that grants on what the line is about, its arguments, the command."""
        settings, names, on = self.settings, self._names, need.on
        in_source = on in table.IN_SOURCE
        project = self._project(in_source)
        here, prefix = f'project="{project}"', settings.name_prefix if settings else ""
        if on in (table.PROJECT, table.SOURCE_PROJECT):
            command = f"projects add-iam-policy-binding {project} --condition=None"
            return "gcp.projects.IAMMember", here, command
        if on in (table.ARTIFACTS, table.SOURCE_ARTIFACTS, table.REGISTRY_ARTIFACTS):
            named = re.search(r"(?:gs://|buckets/)([\w.-]+)", self.denial.resource)
            about, buckets = named[1] if named else "", list[str]()
            if settings:
                theirs = on == table.SOURCE_ARTIFACTS
                buckets = [*settings.source_buckets] if theirs else [settings.buckets[on]]
            bucket = about if about in buckets else next(iter(buckets), "") or about or "BUCKET"
            return (
                "gcp.storage.BucketIAMMember",
                f'bucket="{bucket}"',
                f"storage buckets add-iam-policy-binding gs://{bucket}",
            )
        if on in (table.TOPIC, table.DEAD_LETTERS, table.INCIDENTS):
            told = settings.alerts.topic if settings else None
            topic = prefix + NAMES[on] if on != table.INCIDENTS else told or "TOPIC"
            return (
                "gcp.pubsub.TopicIAMMember",
                f'{here}, topic="{topic}"',
                f"pubsub topics add-iam-policy-binding {topic} --project={project}",
            )
        if on in (table.SUBSCRIPTIONS, table.RISKS, table.LOST):
            name = prefix + NAMES[on]
            if settings and settings.order_by_device and on != table.LOST:
                name += "-ordered"
            return (
                "gcp.pubsub.SubscriptionIAMMember",
                f'{here}, subscription="{name}"',
                f"pubsub subscriptions add-iam-policy-binding {name} --project={project}",
            )
        if on == table.TABLES:
            # gcloud has no command for a dataset's policy.
            dataset = settings.dataset(NAMES[on]) if settings else NAMES[on]
            return "gcp.bigquery.DatasetIamMember", f'{here}, dataset_id="{dataset}"', ""
        if on == table.ENDPOINT:
            # Only Pulumi and REST: docs vertex-ai/docs/general/endpoint-access-control.
            where = f'location="{names["region"]}", endpoint="{names["endpoint"]}"'
            return "gcp.vertex.AiEndpointIamMember", f"{here}, {where}", ""
        account = self._email(on.removesuffix(" account"))
        return (
            "gcp.serviceaccount.IAMMember",
            f'service_account_id="projects/{project}/serviceAccounts/{account}"',
            f"iam service-accounts add-iam-policy-binding {account} --project={project}",
        )

    def _by_catalogue(self) -> tuple[list[str], list[str]]:
        """A custom role of this one permission, and the grant of it; else the smallest role."""
        permission, project = self.denial.permission, self._names["project"]
        member = self._member(self.who.identity)
        if self.denial.principal:
            principal = self.denial.principal
            member = principal if ":" in principal else _as_member(principal)
        settings, callers = self.settings, [it for it in self.needs if it.identity == table.CALLER]
        if settings and callers and self.full_resource_name.endswith(settings.endpoint_name):
            key = f"callers[{len(settings.callers)}]"
            return [f"pulumi config set --path '{key}' {member}  # may ask this endpoint"], []
        kind, on, command = self._granting(permission, project)
        name = re.sub(r"\W+(\w)", lambda found: found[1].upper(), permission)
        custom = roles.support_level(permission) == "SUPPORTED"
        role = f"projects/{project}/roles/{name}" if custom else (self.roles or ["ROLE"])[0]
        if self.of_own_key or self.denial.about in OF_A_KEY:  # agents decrypt too
            custom, role = False, table.KEY_USER
        pulumi = [f'{kind}("{name}", {on}, role="{role}", member="{member}")']
        gcloud = [f"gcloud {command} --member={member} --role={role}"]
        if custom:
            pulumi.insert(
                0,
                f'gcp.projects.IAMCustomRole("{name}", project="{project}", role_id="{name}", '
                f'title="{name}", permissions=["{permission}"])',
            )
            gcloud.insert(
                0, f"gcloud iam roles create {name} --project={project} --permissions={permission}"
            )
        return pulumi, gcloud

    def _granting(self, permission: str, project: str) -> tuple[str, str, str]:
        """Where to grant a permission: on the resource itself, when the denial names one."""
        full = self.full_resource_name
        for pattern, kind, arguments, command in _ON:
            if match := re.search(pattern, full):
                named = {"project": project, **match.groupdict()}
                return kind, arguments.format(**named), command.format(**named)
        command = f"projects add-iam-policy-binding {project} --condition=None"
        return "gcp.projects.IAMMember", f'project="{project}"', command

    def lines(self) -> list[str]:
        """For people. The first lines say who lacks what on what; then the step, and the rest."""
        denial = self.denial
        head = self._head()
        if denial.kind == said.PERMISSION and self.need:
            shown = [need for need in self.needs if need.identity == self.need.identity][:2]
            for need in shown if self.who.identity else self.needs[:4]:
                whose = "" if self.who.identity else f"{need.identity}: "
                head.append(f"step: {whose}{need.step} ({need.call}) — {place(need)}")
        if self.note:
            head.append(f"note: {self.note}")
        if self.wait:
            head.append(f"propagation: {self.wait}")
        if denial.kind == said.PERMISSION and not self.need and self.roles:
            sizes = [f"{name} ({len(roles.ROLES[name].permissions)})" for name in self.roles]
            head.append(
                f"smallest predefined roles: {', '.join(sizes)}; a custom role with this one "
                "permission is smaller still"
            )
        for language, fix in self.fix.items():
            if fix:
                head += [f"fix, {language}:", *(f"    {line}" for line in fix)]
        return [*head, f"said: {denial.text}"]

    def _head(self) -> list[str]:
        denial = self.denial
        if denial.kind not in (said.PERMISSION, said.UNSAID):
            where = f": {denial.resource}" if denial.resource else ""
            head = [f"{denial.kind}: {said.KINDS[denial.kind]}{where}"]
            return head + ([f"as {denial.principal}"] if denial.principal else [])
        identity, principal = self.who.identity, denial.principal
        subject = identity or principal or "somebody (the text does not say who)"
        what = denial.permission if denial.kind == said.PERMISSION else "something"
        head = [f"{subject} lacks {what}"]
        if identity:
            head[0] += {
                BY_TEXT: f": {principal}",
                BY_SENTENCE: " (the text gives no address, but says whose it is)",
                BY_RESOURCE: " (the text names nobody; it is the one who uses this account)",
                BY_STEP: f" (the text names nobody; the step is {denial.call.kind} "
                f"{denial.call.name})",
                BY_TABLE: " (the text names nobody; in this stack nobody else needs it)",
            }[self.who.by]
        if denial.resource:
            full = self.full_resource_name
            known = f" ({full})" if full and full != denial.resource else ""
            head.append(f"on {denial.resource}{known}")
        return head

    def data(self) -> dict[str, Any]:
        """The same for programs."""
        denial = self.denial
        return {
            "kind": denial.kind,
            "permission": denial.permission,
            "resource": denial.resource,
            "full_resource_name": self.full_resource_name,
            "identity": self.who.identity,
            "identity_by": self.who.by,
            "principal": denial.principal,
            "step": self.need.step if self.need and self.who.identity else "",
            "lines": [
                {
                    "identity": need.identity,
                    "step": need.step,
                    "call": need.call,
                    "on": need.on,
                    "place": place(need),
                }
                for need in self.needs
            ],
            "roles": self.roles,
            "fix": self.fix,
            "note": self.note,
            "wait": self.wait,
            "quote": denial.text,
            "details": dict(denial.details),
        }


def explained(text: str, settings: Settings | None = None) -> list[Explanation]:
    """Every denial in `text`, in order, with its answer."""
    return [Explanation(denial, settings) for denial in find_all(text)]


OF_A_KEY: Final = ("key", "storage agent")
_USES_OF_A_KEY: Final = (said.USE_KEY, said.USE_KEY.replace("Encrypt", "Decrypt"))
_ACCOUNTS: Final = "iam.gserviceaccount.com"
_OF_ACCOUNT: Final = r"@([a-z0-9-]+)\.iam\.gserviceaccount"
AGENT_ROLES: Final = {
    table.AGENT: "roles/aiplatform.serviceAgent",
    table.PUBSUB_AGENT: "roles/pubsub.serviceAgent",
    table.MONITORING_AGENT: "roles/monitoring.notificationServiceAgent",
}
_SETTINGS: Final = {
    table.REGISTER: "pulumi config set --path 'deployerMay[0]' register",
    table.RETIRE: "pulumi config set --path 'deployerMay[1]' retire",
    table.SOURCE: "pulumi config set --path 'models[0].source' MODEL",
    table.PULL: "pulumi config set servingContainer IMAGE",
    table.OWN_REGISTRY: "pulumi config set --path 'models[0].source' MODEL",
    table.OWN_BUCKET: "pulumi config set registryArtifactsBucket BUCKET",
    table.CANARY: "pulumi config set --path 'models[0].canary.percent' 10  # and its artifact",
    table.REVIEW: "pulumi config set previewMember MEMBER",
    table.INVITE: "pulumi config set previewMember MEMBER",
    table.CALL: "pulumi config set --path 'callers[0]' MEMBER",
    table.ROUTE: "pulumi config set --path 'sensors[0]' SENSOR",
    table.DRIFT: "pulumi config set --path drift.intervalHours 24",
    table.WATCH: "pulumi config set --path 'alerts.emails[0]' ADDRESS",
    table.INFORM: "pulumi config set --path alerts.topic TOPIC",
    table.FEDERATE: "pulumi config set --path federation.repositoryId ID  # and ownerId, "
    "rolloutEnvironment",
    table.LABEL: "pulumi config set --path labels.KEY VALUE",
    table.EXPIRE: "pulumi config set --path requestLog.days 90",
    table.ENCRYPT: "pulumi config set kmsKey KEY",
    table.FOUNDATION: "pulumi config set --path federation.foundationEnvironment NAME",
    table.WHOLE: "pulumi config set layer whole",
    table.LAYERS: "pulumi config set layer foundation  # and a stack of layer rollout",
}
_WHY: Final = {
    **{name: f"deployerMay has {name}" for name in table.CAPABILITIES},
    table.SOURCE: "a model has a `source` in another project",
    table.PULL: "an image is in another project's repository",
    table.OWN_REGISTRY: "a model has a `source` in the stack's own project",
    table.OWN_BUCKET: "registryArtifactsBucket is set, and a model is from its own registry",
    table.CANARY: "a model has a `canary`",
    table.REVIEW: "previewMember or federation is set",
    table.INVITE: "previewMember is set",
    table.CALL: "callers name somebody",
    table.ROUTE: "sensors are named",
    table.DRIFT: "drift is set",
    table.WATCH: "alerts tell somebody",
    table.INFORM: "alerts have a topic",
    table.FEDERATE: "federation is set",
    table.LABEL: "labels are set",
    table.EXPIRE: "requestLog has days",
    table.ENCRYPT: "kmsKey is set",
    table.WHOLE: "layer is whole",
    table.LAYERS: "layer is foundation or rollout",
    table.FOUNDATION: "federation has a foundationEnvironment",
}

# Full resource name → the resource that grants on it, its arguments, gcloud's command.
_ON: Final = (
    (
        r"buckets/(?P<name>[\w.-]+)",
        "gcp.storage.BucketIAMMember",
        'bucket="{name}"',
        "storage buckets add-iam-policy-binding gs://{name}",
    ),
    (
        r"serviceAccounts/(?P<name>[\w.@+-]+)",
        "gcp.serviceaccount.IAMMember",
        'service_account_id="projects/-/serviceAccounts/{name}"',
        "iam service-accounts add-iam-policy-binding {name}",
    ),
    (
        r"secrets/(?P<name>[\w-]+)",
        "gcp.secretmanager.SecretIamMember",
        'project="{project}", secret_id="{name}"',
        "secrets add-iam-policy-binding {name} --project={project}",
    ),
    (
        r"topics/(?P<name>[\w.~+%-]+)",
        "gcp.pubsub.TopicIAMMember",
        'project="{project}", topic="{name}"',
        "pubsub topics add-iam-policy-binding {name} --project={project}",
    ),
    (
        r"subscriptions/(?P<name>[\w.~+%-]+)",
        "gcp.pubsub.SubscriptionIAMMember",
        'project="{project}", subscription="{name}"',
        "pubsub subscriptions add-iam-policy-binding {name} --project={project}",
    ),
    (
        r"locations/(?P<location>[\w-]+)/repositories/(?P<name>[\w-]+)",
        "gcp.artifactregistry.RepositoryIamMember",
        'project="{project}", location="{location}", repository="{name}"',
        "artifacts repositories add-iam-policy-binding {name} --location={location} "
        "--project={project}",
    ),
    (
        r"locations/(?P<location>[\w-]+)/keyRings/(?P<ring>[\w-]+)/cryptoKeys/(?P<name>[\w-]+)",
        "gcp.kms.CryptoKeyIAMMember",
        'crypto_key_id="{project}/{location}/{ring}/{name}"',
        "kms keys add-iam-policy-binding {name} --keyring={ring} --location={location} "
        "--project={project}",
    ),
    (
        r"locations/(?P<location>[\w-]+)/queues/(?P<name>[\w-]+)",
        "gcp.cloudtasks.QueueIamMember",
        'project="{project}", location="{location}", name="{name}"',
        "tasks queues add-iam-policy-binding {name} --location={location} --project={project}",
    ),
)

# Where full resource names begin, for the services whose API has another name than permissions.
_HOSTS: Final = {"resourcemanager": "cloudresourcemanager", "datastore": "firestore"}


def full_resource_name(resource: str, permission: str = "") -> str:
    """Google's full name of a resource, however a service wrote it; empty where it is not known.

    docs iam/docs/full-resource-names
    """
    service = permission.partition(".")[0]
    host = f"//{_HOSTS.get(service, service)}.googleapis.com/"
    if resource.startswith("//"):
        return resource
    if resource.startswith("gs://"):
        bucket, _, name = resource.removeprefix("gs://").partition("/")
        return _stored(bucket, name)
    if account := re.search(r"[\w.+-]+@[\w.-]+\.(?:iam|developer|appspot)[\w.-]*$", resource):
        parts = resource.split("/")
        within = parts[1] if parts[0] == "projects" else "-"
        return f"//iam.googleapis.com/projects/{within}/serviceAccounts/{account[0]}"
    if re.fullmatch(r"projects/[^/]+", resource):
        return f"//cloudresourcemanager.googleapis.com/{resource}"
    if resource.startswith(("projects/", "organizations/", "folders/")):
        return f"{host}{resource}" if service else resource
    if service == "bigquery" and ":" in resource:
        project, _, rest = resource.partition(":")
        dataset, _, name = rest.partition(".")
        inside = f"/tables/{name}" if name else ""
        return f"{host}projects/{project}/datasets/{dataset}{inside}"
    if service == "storage" and resource and not permission.startswith("storage.buckets.create"):
        bucket, _, name = resource.partition("/")
        return _stored(bucket, name)
    if service in _OF_PROJECTS and re.fullmatch(r"[a-z0-9][\w.:-]*", resource):
        return f"//cloudresourcemanager.googleapis.com/projects/{resource}"
    return ""


_OF_PROJECTS: Final = ("resourcemanager", "serviceusage", "bigquery", "storage", "iam")


def _stored(bucket: str, name: str) -> str:
    inside = f"/objects/{name}" if name else ""
    return f"//storage.googleapis.com/projects/_/buckets/{bucket}{inside}"


def _is_agent(domain: str) -> bool:
    return domain.startswith(("gcp-sa-", "gs-project", "serverless-robot", "compute-system"))


def _as_member(principal: str) -> str:
    if "://" in principal:
        return principal
    kind = "serviceAccount" if principal.endswith(".gserviceaccount.com") else "user"
    return f"{kind}:{principal}"


def _why_not(permission: str) -> str:
    """Why Google refuses a permission in a custom role of a project."""
    if not permission:
        return ""
    if not roles.exists(permission):
        return f"there is none of this name; the nearest is {roles.nearest_permission(permission)}"
    if roles.support_level(permission) is None:
        return "it exists, but only for organisations or folders"
    return "it exists; look for a slip around it"
