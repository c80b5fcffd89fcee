"""G: what may be granted, to whom, and where."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from .. import powers, roles
from ..grants import ABOVE, UNREADABLE, Grant
from ..judge import Judgement, is_agents_role, is_basic, is_googles
from ..stack import DEFAULT_ACCOUNTS
from ..view import UNKNOWN, CannotJudge, Resource
from .examples import (
    AGENT,
    DATASET,
    FOLDER_MEMBER,
    GROUP,
    PROJECT,
    PROJECT_BINDING,
    PROJECT_POLICY,
    USER,
    account,
    custom_role,
    on_bucket,
    on_project,
)
from .rule import Context, Findings, rule

EVERYBODY: Final = frozenset(
    {"allusers", "allauthenticatedusers", "principalSet://goog/public:all"}
)
FREE_MAIL: Final = ("gmail.com", "googlemail.com", "hotmail.com", "outlook.com", "yahoo.com")

OWN_ROLE: Final = """\
role = gcp.projects.IAMCustomRole("role", project=PROJECT, role_id="role", title="Role",
    permissions=[...])  # what the identity uses
gcp.storage.BucketIAMMember("grant", bucket=BUCKET, role=role.name, member=MEMBER)"""


def judgements(grant: Grant, resource: Resource, context: Context) -> Iterator[Judgement]:
    """What each member gets by a role on a project or above; one judgement an identity.

    Where members are unknown, what holds whoever they are comes first. Raises CannotJudge.
    """
    # Five rules ask about each grant, one after the other.
    if context.judged is None or context.judged[0] is not grant:
        found: list[Judgement] = []
        unread = None
        try:
            for judged in _judgements(grant, resource, context):
                found.append(judged)
        except CannotJudge as error:
            unread = error.path
        context.judged = grant, found, unread
    _, known, path = context.judged
    yield from known
    if path is not None:
        raise CannotJudge(path)


def _judgements(grant: Grant, resource: Resource, context: Context) -> Iterator[Judgement]:
    if not grant.wide or grant.acl or (grant.role is not UNKNOWN and is_basic(str(grant.role))):
        return
    members = [member for member in grant.members if member is not UNKNOWN]
    unknown = len(members) < len(grant.members)
    if is_agents_role(grant.known_role()):
        members = [member for member in members if not is_googles(member)]
        if not members and unknown:
            raise CannotJudge("member")
    seen: set[str] = set()
    for member in members:
        judged = context.judge.grant(grant, member)
        if judged and judged.who not in seen:
            seen.add(judged.who)
            yield judged
    if unknown:
        if judged := context.judge.grant(grant, None):
            yield judged
        raise CannotJudge("member")


def _cure(judged: Judgement) -> str:
    """The grant that would do, where the table knows what is used."""
    if not judged.used:
        return ""
    listed = ", ".join(f'"{name}"' for name in judged.used)
    return f" Enough is a custom role with permissions=[{listed}]."


@rule(
    "G1", "Nothing is open to everybody", "critical", each="grant",
    protects="Data and models that anybody on the internet, or anybody with an account at Google, "
    "could otherwise read or change.",
    bad={"open": on_bucket("roles/storage.objectViewer", "allUsers")},
    good={"closed": on_bucket("roles/storage.objectViewer", account("pm-serving"))},
    remedy='member="serviceAccount:NAME@PROJECT.iam.gserviceaccount.com"  # or a group: member',
)  # fmt: skip
def everybody(grant: Grant, resource: Resource, context: Context) -> Findings:
    for member in grant.each_member():
        if member in EVERYBODY:
            at = f" ({grant.at})" if grant.at else ""
            yield f"{grant.role} goes to {member}{at}, which is everybody"


@rule(
    "G2", "No basic roles", "critical", each="grant",
    protects="Everything else in the project: a basic role reaches every service there is, and "
    "every service that Google adds.",
    bad={"editor": on_project("roles/editor", GROUP)},
    good={"small": on_project("roles/pubsub.publisher", account("pm-telemetry"))},
    remedy=OWN_ROLE,
)  # fmt: skip
def basic(grant: Grant, resource: Resource, context: Context) -> Findings:
    role = grant.known_role()
    if not grant.acl and is_basic(role):
        held = roles.permissions(roles.spelled(role))
        count = f"{len(held):,} permissions" if held else "no list of permissions, and no limit"
        yield f"{role.strip()} is a basic role: {count}, in every service"


@rule(
    "G3", "Nobody can become stronger", "critical", each="grant",
    protects="The project's other identities: with one of these permissions on a whole project, "
    "its holder gets all that any of them may do, in one step.",
    bad={"iam": on_project("roles/resourcemanager.projectIamAdmin", GROUP)},
    good={"browser": on_project("roles/browser", GROUP)},
    remedy=OWN_ROLE,
)  # fmt: skip
def escalation(grant: Grant, resource: Resource, context: Context) -> Findings:
    for judged in judgements(grant, resource, context):
        beyond = set(judged.escalating)
        if beyond - powers.IMPERSONATES:  # S2 says what to do about those alone
            yield (
                f"{judged.numbers}. On a {grant.level}, {powers.some(beyond, 4)} is enough to "
                f"become stronger in one step.{_cure(judged)}"
            )


@rule(
    "G4", "Nobody starts code who need not", "high", each="grant",
    protects="The project's service accounts: who starts a job, a notebook or a model chooses the "
    "code that runs as one of them. This is what roles/aiplatform.user gives.",
    bad={"vertex": on_project("roles/aiplatform.user", account("pm-deployer"))},
    good={
        "deployer": custom_role("exampleDeployer", "aiplatform.endpoints.deploy"),
        "deploys": on_project("${deployer.name}", account("pm-deployer")),
    },
    remedy=OWN_ROLE,
)  # fmt: skip
def launchers(grant: Grant, resource: Resource, context: Context) -> Findings:
    # A custom role is the cure; whether a stack needs it, only the stack can say.
    if not context.strict and not grant.known_role().strip().lower().startswith("roles/"):
        return
    for judged in judgements(grant, resource, context):
        if judged.launching:
            yield (
                f"{judged.numbers}. On a {grant.level}, {powers.some(judged.launching, 4)} runs "
                f"code under its service accounts.{_cure(judged)}"
            )


@rule(
    "G5", "No broad roles", "high", each="grant",
    protects="Whatever a leaked credential or a mistake could reach: nine of ten of Google's roles "
    "hold fewer than 70 permissions.",
    bad={"broad": on_project("roles/iam.securityReviewer", GROUP)},
    good={"narrow": on_project("roles/monitoring.metricWriter", account("pm-serving"))},
    remedy=OWN_ROLE,
)  # fmt: skip
def breadth(grant: Grant, resource: Resource, context: Context) -> Findings:
    config = context.config
    for judged in judgements(grant, resource, context):
        too = [
            f"{count} {what} (at most {most})"
            for count, what, most in (
                (len(judged.held), "permissions", config.max_permissions),
                (len(judged.deleting), "deletes", config.max_deletes),
                (len(judged.services), "services", config.max_services),
            )
            if count > most
        ]
        outside = set(judged.services) - set(config.role_services or judged.services)
        if outside:
            too.append(f"services outside roleServices: {powers.some(outside)}")
        if too:
            yield f"{judged.numbers}. Too much: {'; '.join(too)}.{_cure(judged)}"


@rule(
    "G6", "Nobody decides who else gets in", "high", each="grant",
    protects="Grants themselves: who sets policies on all resources of a kind gives himself, or "
    "anybody, every role on them.",
    bad={"setter": on_project("roles/bigquery.connectionAdmin", GROUP)},
    good={"use": on_bucket("roles/storage.objectUser", GROUP)},
    remedy="# Without setIamPolicy, and on the one resource:\n" + OWN_ROLE,
)  # fmt: skip
def policy_setters(grant: Grant, resource: Resource, context: Context) -> Findings:
    for judged in judgements(grant, resource, context):
        if setters := set(judged.setting_policy) - powers.ESCALATES:
            yield (
                f"{judged.numbers}. On a {grant.level}, {powers.some(setters, 4)} decides who "
                f"else may do what.{_cure(judged)}"
            )


@rule(
    "G7", "Agents' roles are for Google's agents", "high", each="grant",
    protects="Google's internal roles: they are broad, change without notice, and are meant for "
    "accounts that only Google can use.",
    bad={"person": on_project("roles/aiplatform.serviceAgent", USER)},
    good={"agent": on_project("roles/aiplatform.serviceAgent", AGENT)},
    remedy='agent = gcp.projects.ServiceIdentity("agent", service="aiplatform.googleapis.com")\n'
    'gcp.projects.IAMMember("agent-role", role="roles/aiplatform.serviceAgent", '
    "member=agent.member)",
)  # fmt: skip
def agents_roles(grant: Grant, resource: Resource, context: Context) -> Findings:
    if is_agents_role(grant.known_role()):
        for member in grant.each_member():
            if not is_googles(member):
                yield f"{grant.role} is for Google's own agents; {member} is none"


@rule(
    "G8", "No administrator's role that nobody can read", "medium", each="grant", mandatory=False,
    protects="The project, where a role's content is not known: its name then says the most.",
    bad={"admin": on_bucket("roles/tomorrow.admin", account("pm-training"))},
    good={"user": on_bucket("roles/storage.objectUser", account("pm-training"))},
    remedy=OWN_ROLE,
)  # fmt: skip
def unread_admin(grant: Grant, resource: Resource, context: Context) -> Findings:
    role = grant.known_role()
    named = grant.permissions is None and not grant.acl and role.strip().lower().endswith("admin")
    if named and context.judge.held(role) is None:
        for member in grant.each_member():
            if member.startswith("serviceAccount:"):
                yield f"{role}, which by its name administers something, goes to {member}"


@rule(
    "G9", "Nothing for default service accounts", "high", each="grant",
    protects="Whatever runs without an account of its own: all of it shares these accounts, and "
    "gets what one of them is given.",
    bad={"default": on_bucket("roles/storage.objectUser",
                              "serviceAccount:1234567890-compute@developer.gserviceaccount.com")},
    good={"own": on_bucket("roles/storage.objectUser", account("pm-training"))},
    remedy='own = gcp.serviceaccount.Account("worker", account_id="worker")\n'
    'gcp.storage.BucketIAMMember("grant", bucket=BUCKET, role=ROLE, member=own.member)',
)  # fmt: skip
def default_accounts(grant: Grant, resource: Resource, context: Context) -> Findings:
    for member in grant.each_member():
        if member.lower().endswith(DEFAULT_ACCOUNTS):
            yield f"{grant.role} goes to {member}, which all code without an account runs as"


@rule(
    "G10", "People get access through groups", "medium", each="grant",
    only_strict="Whether people hold grants by name is a team's own way of working.",
    protects="Against access that outlives a job: a group's members change with the team, a "
    "direct grant is forgotten.",
    bad={"person": on_bucket("roles/storage.objectViewer", USER)},
    good={"group": on_bucket("roles/storage.objectViewer", GROUP)},
    remedy='member="group:TEAM@example.com"  # or, in the config: trustedMembers',
)  # fmt: skip
def people(grant: Grant, resource: Resource, context: Context) -> Findings:
    for member in grant.each_member():
        if member.startswith("user:") and member not in context.config.trusted_members:
            yield f"{grant.role} goes to the person {member}"


@rule(
    "G11", "Members belong to the organisation", "high", each="grant",
    protects="Against strangers: private mailboxes, and domains that nobody agreed on.",
    bad={"mailbox": on_bucket("roles/storage.objectViewer", "group:pumps@gmail.com")},
    good={"ours": on_bucket("roles/storage.objectViewer", GROUP)},
    remedy='member="group:TEAM@example.com"  # a domain in the config: domains',
)  # fmt: skip
def strangers(grant: Grant, resource: Resource, context: Context) -> Findings:
    allowed = {domain.lower() for domain in context.config.domains}
    for member in grant.each_member():
        kind, _, name = member.partition(":")
        if kind not in ("user", "group", "domain"):
            continue
        domain = name.rpartition("@")[2].lower()
        if domain in FREE_MAIL or (allowed and domain not in allowed):
            known = f"; domains are {powers.some(allowed)}" if allowed else ""
            yield f"{grant.role} goes to {member}, which is outside the organisation{known}"


@rule(
    "G12", "An application grants nothing above its project", "critical", each="grant",
    protects="Every other project under the folder, organisation or billing account. In the "
    "baseline, a role that only looks, and reads no data, may be granted there.",
    bad={"folder": (FOLDER_MEMBER,
                    {"folder": "folders/1", "role": "roles/pubsub.publisher", "member": GROUP})},
    good={"project": on_project("roles/browser", GROUP)},
    remedy='gcp.projects.IAMMember("grant", project=PROJECT, role=ROLE, member=MEMBER)\n'
    "# or mayGrantAboveProjects in the config, for a stack whose business that is",
)  # fmt: skip
def above_projects(grant: Grant, resource: Resource, context: Context) -> Findings:
    if grant.level not in ABOVE or context.config.may_grant_above_projects:
        return
    said = f"a grant on a {grant.level} holds for all projects under it"
    if context.strict:
        yield said
    for judged in () if context.strict else judgements(grant, resource, context):
        if more := [name for name in judged.held if not powers.looks(name)]:
            yield f"{said}; {judged.role} does more there than look: {powers.some(more, 3)}"


@rule(
    "G13", "Nobody's grants are wiped", "critical", each="grant",
    protects="The grants of everybody else on the project, Google's agents among them: this "
    "resource sets them all, and deletes what it does not list.",
    bad={"policy": (PROJECT_POLICY, {"project": PROJECT, "policyData":
        '{"bindings": [{"role": "roles/browser", "members": ["group:ml-engineers@example.com"]}]}'
    })},
    good={"member": on_project("roles/browser", GROUP)},
    remedy='gcp.projects.IAMMember("grant", project=PROJECT, role=ROLE, member=MEMBER)',
)  # fmt: skip
def authoritative(grant: Grant, resource: Resource, context: Context) -> Findings:
    if grant.wide and grant.authoritative == "policy":
        yield f"the whole allow policy of a {grant.level} is set; grants not listed are deleted"
    return


@rule(
    "G14", "Every role can be judged", "high", each="grant",
    protects="Against what nobody has read: a role that is in no list and not this stack's own "
    "may hold anything.",
    bad={
        "other": on_bucket("projects/somebody-else/roles/reader", GROUP),
        "never": on_project("roles/iot.registryEditor", GROUP),
    },
    good={
        "reader": custom_role("exampleReader", "storage.objects.get"),
        "reads": on_bucket("${reader.name}", GROUP),
    },
    remedy='role = gcp.projects.IAMCustomRole("role", role_id="role", title="Role", '
    "permissions=[...])\n# and role=role.name; or knownRoles in the config",
)  # fmt: skip
def unreadable(grant: Grant, resource: Resource, context: Context) -> Findings:
    role = grant.known_role()
    if grant.permissions is not None or grant.acl or is_basic(role):
        return
    if role == UNREADABLE:
        yield "policyData is no JSON with bindings of role and members"
    elif context.judge.held(role) is None:
        yield (
            f"{role} is neither one of Google's roles nor declared in this stack, and could not "
            "be looked up"
        )


@rule(
    "G17", "No ownership by other channels", "high", each="grant",
    protects="Data behind access lists: OWNER there lets its holder give access away, and no IAM "
    "policy shows it.",
    bad={"owner": (DATASET, {"datasetId": "d", "location": "europe-west4", "accesses": [
        {"role": "OWNER", "userByEmail": "ana@example.com"}]})},
    good={"editor": (DATASET, {"datasetId": "d", "location": "europe-west4", "accesses": [
        {"role": "OWNER", "specialGroup": "projectOwners"},
        {"role": "roles/bigquery.dataViewer", "groupByEmail": "ml-engineers@example.com"}]})},
    remedy='gcp.bigquery.DatasetIamMember("grant", dataset_id=DATASET, '
    'role="roles/bigquery.dataViewer", member=MEMBER)',
)  # fmt: skip
def owners(grant: Grant, resource: Resource, context: Context) -> Findings:
    if grant.acl and grant.known_role().strip().upper() in ("OWNER", "ADMIN"):
        for member in grant.each_member():
            if member not in ("projectowners", "projectOwners"):
                yield f"{grant.role} goes to {member} by an access list ({grant.at or 'role'})"


@rule(
    "G18", "Only agreed roles", "low", each="grant", mandatory=False,
    protects="Against roles that the organisation has replaced, such as Storage's legacy ones.",
    bad={"legacy": on_bucket("roles/storage.legacyBucketReader", GROUP)},
    good={"current": on_bucket("roles/storage.objectViewer", GROUP)},
    remedy='role="roles/storage.objectViewer"  # bannedRoles, allowedRoles in the config',
)  # fmt: skip
def agreed(grant: Grant, resource: Resource, context: Context) -> Findings:
    role = roles.spelled(grant.known_role())
    if role in context.config.banned_roles:
        yield f"{role} is in bannedRoles"
    allowed = context.config.allowed_roles
    if allowed and role.startswith("roles/") and role not in allowed:
        yield f"{role} is not in allowedRoles"


@rule(
    "G20", "Bindings leave others' grants alone", "medium", each="grant",
    protects="Other grants of the same role on the project: a binding deletes those it does not "
    "list.",
    bad={"binding": (PROJECT_BINDING,
                     {"project": PROJECT, "role": "roles/browser", "members": [GROUP]})},
    good={"member": on_project("roles/browser", GROUP)},
    remedy='gcp.projects.IAMMember("grant", project=PROJECT, role=ROLE, member=MEMBER)',
)  # fmt: skip
def binding(grant: Grant, resource: Resource, context: Context) -> Findings:
    if grant.wide and grant.authoritative == "binding":
        yield f"all members of {grant.role} on a {grant.level} are set; others lose it"
    return


@rule(
    "G21", "On one resource, too, no more than it takes", "high", each="grant",
    protects="The one resource: who may decide on it who else gets in, or may do everything with "
    "it, can do so in another's name.",
    bad={"setter": on_bucket("roles/storage.admin", GROUP)},
    good={"user": on_bucket("roles/storage.objectUser", GROUP)},
    remedy=OWN_ROLE,
)  # fmt: skip
def on_one(grant: Grant, resource: Resource, context: Context) -> Findings:
    if grant.wide or grant.acl or is_basic(grant.known_role()):
        return
    for member in grant.each_member():
        judged = context.judge.grant(grant, member)
        if judged is None or is_googles(member) or member in context.config.trusted_members:
            continue
        if setters := set(judged.setting_policy) - OF_PARTS:
            yield (
                f"{judged.numbers}. With {powers.some(setters, 3)}, {member} decides who else "
                "gets in"
            )
        if len(judged.held - judged.needed) > context.config.max_permissions:
            yield (
                f"{judged.numbers}, for {member} (at most {context.config.max_permissions}, "
                "maxPermissions)"
            )


OF_PARTS: Final = frozenset({"storage.objects.setIamPolicy"})
"""Without effect where a bucket has uniform access, which B1 asks for."""


@rule(
    "G22", "Nobody reads all data of a project", "high", each="grant",
    protects="Every bucket, dataset, database and secret of the project, those to come as well.",
    bad={"all": on_project("roles/storage.objectViewer", GROUP)},
    good={"one": on_bucket("roles/storage.objectViewer", GROUP)},
    remedy="# On the one resource that is read:\n"
    'gcp.storage.BucketIAMMember("reads", bucket=BUCKET, role="roles/storage.objectViewer", '
    'member=MEMBER)\ngcp.bigquery.DatasetIamMember("reads", dataset_id=DATASET, '
    'role="roles/bigquery.dataViewer", member=MEMBER)',
)  # fmt: skip
def all_data(grant: Grant, resource: Resource, context: Context) -> Findings:
    for judged in judgements(grant, resource, context):
        if reads := judged.held & powers.READS_DATA - judged.needed:
            yield f"{judged.numbers}. On a {grant.level}, {powers.some(reads, 3)} reads all of it"


ACCOUNT: Final = re.compile(r"serviceAccount:[^@]+@([a-z0-9.:-]+)\.iam\.gserviceaccount\.com")


@rule(
    "G23", "Accounts come from agreed projects", "high", each="grant",
    protects="The project, from whoever administers another one: he can be any account there. On "
    "one resource an account of another project may hold what makes nobody stronger.",
    bad={"foreign": on_project("roles/pubsub.publisher",
                               "serviceAccount:job@elsewhere.iam.gserviceaccount.com")},
    good={"own": on_project("roles/pubsub.publisher", account("pm-training")),
          "shared": on_bucket("roles/storage.objectViewer",
                              "serviceAccount:job@elsewhere.iam.gserviceaccount.com")},
    remedy='member="serviceAccount:NAME@PROJECT.iam.gserviceaccount.com"\n'
    "# or its project in the config: projects",
)  # fmt: skip
def foreign(grant: Grant, resource: Resource, context: Context) -> Findings:
    project = project_of(resource)
    for member in grant.each_member():
        home = ACCOUNT.fullmatch(member)
        if home is None or not project or is_googles(member) or home[1].startswith("gcp-sa-"):
            continue
        agreed = (project, *context.config.projects)
        known = member in context.config.trusted_members or context.judge.identity(member)
        if home[1] in agreed or known:
            continue
        judged = context.judge.grant(grant, member)
        held = judged.held if judged else frozenset()
        does = {name for name in held if not powers.looks(name)}
        if grant.wide and does:
            yield (
                f"{member} is of the project {home[1]}, which is not in projects, and may "
                f"{powers.some(does, 3)} on a whole {grant.level}"
            )
        elif becomes := held & powers.IMPERSONATES:
            yield (
                f"{member} is of the project {home[1]}, which is not in projects, and may become "
                f"an account here ({powers.some(becomes, 3)})"
            )


def project_of(resource: Resource) -> str:
    """The project that a grant is in, as far as the resource says; empty where it does not."""
    account = str(resource.props.get("serviceAccountId", ""))
    if found := re.search(r"projects/([^/]+)/", account):
        if found[1] != "-":
            return found[1]
        if home := ACCOUNT.fullmatch(f"serviceAccount:{account.rpartition('/')[2]}"):
            return home[1]
    project = resource.props.get("project", resource.project)
    return project.removeprefix("projects/") if isinstance(project, str) else ""


# Where a service of Google's is gone, what its roles hold gives access to nothing any more.
RETIRED: Final = {
    # gcp-facts/08_iot_and_testiam.md
    "cloudiot": "IoT Core was switched off on 2023-08-16; roles/iot.* never existed",
    "iot": "IoT Core was switched off on 2023-08-16; roles/iot.* never existed",
    # github.com/GoogleCloudPlatform/snapshot-debugger, README
    "clouddebugger": "Cloud Debugger was shut down on 2023-05-31",
    # cloud.google.com/batch/docs/migrate-to-batch-from-cloud-life-sciences
    "lifesciences": "Cloud Life Sciences was shut down on 2025-07-08; its successor is Batch",
}


@rule(
    "G24", "No roles of services that are gone", "medium", each="grant",
    protects="Against grants that look like access and are none, and that nobody dares to remove.",
    bad={"iot": on_project("roles/cloudiot.provisioner", GROUP)},
    good={"publisher": on_bucket("roles/storage.objectCreator", account("pm-training"))},
    remedy="# Remove the grant; devices publish to Pub/Sub:\n"
    'gcp.pubsub.TopicIAMMember("publishes", topic=TOPIC, role="roles/pubsub.publisher", '
    "member=MEMBER)",
)  # fmt: skip
def retired(grant: Grant, resource: Resource, context: Context) -> Findings:
    role = roles.spelled(grant.known_role())
    service = role.removeprefix("roles/").partition(".")[0]
    if role.startswith("roles/") and service in RETIRED:
        yield f"{role}: {RETIRED[service]}"
    elif (found := roles.ROLES.get(role)) and found.stage == "DEPRECATED":
        yield f"{role} is deprecated by Google"


RULES: Final = (
    everybody, basic, escalation, launchers, breadth, policy_setters, agents_roles, unread_admin,
    default_accounts, people, strangers, above_projects, authoritative, unreadable, owners, agreed,
    binding, on_one, all_data, foreign, retired,
)  # fmt: skip
