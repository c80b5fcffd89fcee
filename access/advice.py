"""What to do about a denial that is no missing role, and what is worth knowing of some that are.

Keyed by `about` of access/sentences.py. In braces: what the denial names, or the word in capitals
for whatever it does not (`on` the resource, `project`, `region`, …).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# gcp-facts/03_custom_roles.md, from Google's "Access change propagation".
GRANTED_LATELY: Final = (
    "a grant made minutes ago may not be in effect yet: typically 2 minutes, potentially 7 or "
    "longer; membership of a group several minutes, potentially hours"
)
# gcp-facts/02_errors.md: "wait a few minutes"; no number is documented.
SWITCHED_ON_LATELY: Final = (
    "an API that was just enabled refuses calls for some minutes; Google's text says a few"
)
# gcp-facts/06_wif.md: google-github-actions/auth, docs/TROUBLESHOOTING.md.
POOL_CHANGED_LATELY: Final = "a change of a pool, provider or its grants may take 5 minutes"


@dataclass(frozen=True)
class Advice:
    note: str
    pulumi: tuple[str, ...] = ()
    gcloud: tuple[str, ...] = ()
    wait: str = ""
    """When it may pass by itself; empty where waiting lifts nothing."""


class Named(dict[str, str]):
    """What a text of `ADVICE` calls things; what is not known stands as its name in capitals."""

    def __missing__(self, key: str) -> str:
        return key.upper()


_PROVIDER: Final = "iam workload-identity-pools providers"
_IN_POOL: Final = "--workload-identity-pool=POOL --location=global --project={project}"
_ORG_POLICY: Final = (
    "gcloud org-policies describe {constraint} --project={project} --effective",
    "gcloud org-policies set-policy POLICY.yaml  # by an Organization Policy Administrator",
)
_QUOTAS: Final = (
    "gcloud beta quotas info list --service={api} --project={project} --filter='quotaId:{quota}'"
)

ADVICE: Final[dict[str, Advice]] = {
    "off": Advice(
        "no role is missing: the API is off in {on}, or not on yet; components/apis.py lists what "
        "the stack enables, and its readiness gate waits for it",
        (
            'gcp.projects.Service("{short}", project="{project}", service="{api}", '
            "disable_on_destroy=False)  # in this stack: a line of SERVICES in components/apis.py",
        ),
        ("gcloud services enable {api} --project={project}",),
        SWITCHED_ON_LATELY,
    ),
    "billing": Advice(
        "no role is missing: the project has no open billing account",
        (
            'gcp.organizations.Project("project", project_id="{project}", '
            'billing_account="ACCOUNT")',
        ),
        ("gcloud billing projects link {project} --billing-account=ACCOUNT",),
        "a few minutes after an account was linked",
    ),
    "serving quota": Advice(
        "an allocation quota, so waiting lifts nothing: it counts maxReplicas times the machine's "
        "cores, and its accelerators by type, over all models of the region",
        ("pulumi config set maxReplicas 1", "pulumi config set machineType n1-standard-2"),
        (_QUOTAS,),
    ),
    "allocation": Advice(
        "an allocation quota, so waiting lifts nothing: use less, or ask for more of it",
        (),
        (_QUOTAS,),
    ),
    "rate": Advice(
        "a rate quota: it fills up again within its interval, so slow down and retry with "
        "exponential backoff; ask for more when it is used up all the time",
        (),
        (_QUOTAS,),
        "the interval of the limit, most often a minute",
    ),
    "which quota": Advice(
        "the text does not say which quota, nor whether waiting lifts it: a rate is full again "
        "after its interval, an allocation is not",
        (),
        ("gcloud beta quotas info list --service={api} --project={project}",),
    ),
    "attribute condition": Advice(
        "the provider's attribute condition refused the token: no role is missing. Compare the "
        "token's claims (repository, ref, owner) with the condition",
        (
            'gcp.iam.WorkloadIdentityPoolProvider("…", attribute_condition='
            "\"assertion.repository_id == 'ID' && assertion.ref == 'refs/heads/main'\", …)",
        ),
        (
            f"gcloud {_PROVIDER} describe PROVIDER {_IN_POOL} --format='value(attributeCondition)'",
            f"gcloud {_PROVIDER} update-oidc PROVIDER {_IN_POOL} --attribute-condition=CONDITION",
        ),
        POOL_CHANGED_LATELY,
    ),
    "no condition": Advice(
        "no role is missing: a provider for an issuer that many use, such as GitHub's, is made "
        "only with an attribute condition that names one of its claims",
        (
            'gcp.iam.WorkloadIdentityPoolProvider("…", attribute_condition='
            "\"assertion.repository_owner_id == 'ID'\", …)",
        ),
        (f"gcloud {_PROVIDER} create-oidc PROVIDER {_IN_POOL} --attribute-condition=CONDITION …",),
    ),
    "audience name": Advice(
        "no role is missing: the audience has to be the provider's full name with the project's "
        "number: //iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/"
        "providers/PROVIDER",
        (),
        (f"gcloud {_PROVIDER} describe PROVIDER {_IN_POOL} --format='value(name)'",),
    ),
    "audience": Advice(
        "no role is missing: the token was made for another audience than the provider takes",
        (
            'gcp.iam.WorkloadIdentityPoolProvider("…", '
            'oidc={{"allowed_audiences": ["AUDIENCE"], …}}, …)',
        ),
        (f"gcloud {_PROVIDER} update-oidc PROVIDER {_IN_POOL} --allowed-audiences=AUDIENCE",),
        POOL_CHANGED_LATELY,
    ),
    "pool": Advice(
        "no role is missing: the pool or provider is deleted, disabled, or named wrongly (a "
        "project id in place of its number, a principalSet in place of a provider)",
        (),
        (
            f"gcloud {_PROVIDER} list {_IN_POOL} --show-deleted",
            f"gcloud {_PROVIDER} undelete PROVIDER {_IN_POOL}",
        ),
        POOL_CHANGED_LATELY,
    ),
    "issuer": Advice(
        "no role is missing: the token's issuer is not the provider's issuer_uri, or cannot be "
        "reached from Google",
        ('gcp.iam.WorkloadIdentityPoolProvider("…", oidc={{"issuer_uri": "ISSUER"}}, …)',),
        (f"gcloud {_PROVIDER} update-oidc PROVIDER {_IN_POOL} --issuer-uri=ISSUER",),
        POOL_CHANGED_LATELY,
    ),
    "subject": Advice(
        "no role is missing: google.subject may have 127 bytes; map a shorter claim to it",
        (
            'gcp.iam.WorkloadIdentityPoolProvider("…", attribute_mapping='
            '{{"google.subject": "assertion.repository_id"}}, …)',
        ),
        (f"gcloud {_PROVIDER} update-oidc PROVIDER {_IN_POOL} --attribute-mapping=MAPPING",),
    ),
    "id-token": Advice(
        "no role is missing in Google Cloud: the workflow's job lacks `permissions: "
        "{{id-token: write, contents: read}}`",
    ),
    "perimeter": Advice(
        "VPC Service Controls, no missing role: an administrator of the perimeter searches its "
        "audit log for the unique identifier {id}, and adds an ingress or egress rule or an access "
        "level",
        (
            'gcp.accesscontextmanager.ServicePerimeterIngressPolicy("…", perimeter="PERIMETER", '
            "ingress_from={{…}}, ingress_to={{…}})  # by who keeps the perimeter",
        ),
        (
            "gcloud logging read 'protoPayload.metadata.vpcServiceControlsUniqueId=\"{id}\"' "
            "--organization=ORGANIZATION --freshness=7d",
        ),
    ),
    "domains": Advice(
        "the organisation policy for domain-restricted sharing "
        "(constraints/iam.allowedPolicyMemberDomains): the member is of no permitted customer. "
        "No role is missing",
        (),
        tuple(
            line.replace("{constraint}", "iam.allowedPolicyMemberDomains") for line in _ORG_POLICY
        ),
    ),
    "keys": Advice(
        "an organisation policy (constraints/iam.disableServiceAccountKeyCreation, in force by "
        "default in newer organisations) forbids keys. No role is missing; this stack needs no "
        "key: impersonate the account, or use workload identity federation",
        (),
        (
            "gcloud auth application-default login --impersonate-service-account=ACCOUNT",
            _ORG_POLICY[0].replace("{constraint}", "iam.disableServiceAccountKeyCreation"),
        ),
    ),
    "locations": Advice(
        "the organisation policy {constraint} does not allow this location: choose one that it "
        "allows. No role is missing",
        ("pulumi config set region REGION",),
        _ORG_POLICY[:1],
    ),
    "public access": Advice(
        "public access prevention is enforced on the bucket, or by the organisation policy "
        "constraints/storage.publicAccessPrevention. No role is missing; grant to a named member",
        (),
        (_ORG_POLICY[0].replace("{constraint}", "storage.publicAccessPrevention"),),
    ),
    "constraint": Advice(
        "an organisation policy ({constraint}) forbids it. No role is missing; do without, or ask "
        "an Organization Policy Administrator for an exception",
        (),
        _ORG_POLICY,
    ),
    "scopes": Advice(
        "the token's OAuth scopes are too narrow, whatever roles there are: log in, or run the "
        "machine, with cloud-platform",
        (
            'service_account={{"email": "…", "scopes": '
            '["https://www.googleapis.com/auth/cloud-platform"]}}  # of an instance or node pool',
        ),
        (
            "gcloud auth application-default login "
            "--scopes=https://www.googleapis.com/auth/cloud-platform",
        ),
    ),
    "drive": Advice(
        "a table over Google Drive needs a token with the Drive scope, and the file shared with "
        "whoever queries",
        (),
        (
            "gcloud auth application-default login --scopes="
            "https://www.googleapis.com/auth/cloud-platform,https://www.googleapis.com/auth/drive",
        ),
    ),
    "wrong project": Advice(
        "the project {on} is not known by this name: a display name or a number in place of its "
        "id, a slip, or a project that the caller may not use. No role is missing in a project "
        "that exists",
        ("pulumi config set project {project}  # the id",),
        (
            "gcloud projects list --filter='name:{project} OR projectId:{project}'",
            "gcloud config set project PROJECT_ID",
            "gcloud auth application-default set-quota-project PROJECT_ID",
        ),
    ),
    "deleted project": Advice(
        "the project was deleted: for 30 days it can be brought back",
        (),
        ("gcloud projects undelete {project}",),
    ),
    "suspended": Advice(
        "the project is suspended: its owner finds the reason in the console and appeals there",
    ),
    "dedicated": Advice(
        "no role is missing: an endpoint with a DNS name of its own (dedicatedEndpoint) is asked "
        "there, at {on}, not at the shared host",
        ("pulumi stack output dedicatedDns",),
        (
            "gcloud ai endpoints describe ENDPOINT --region={region} --project={project} "
            "--format='value(dedicatedEndpointDns)'",
        ),
    ),
    "bucket region": Advice(
        "no role is missing: Vertex AI takes artifacts from a bucket in its own region ({here}), "
        "and this one is in {there}",
        ("pulumi config set region {here}  # or sourceArtifactsBucket: a bucket in {here}",),
        (
            "gcloud storage buckets create gs://BUCKET --location={here}",
            "gcloud storage cp --recursive {on} gs://BUCKET/",
        ),
    ),
    "foreign model": Advice(
        "a model that the stack did not deploy is on the endpoint, so Google does not delete it: "
        "the first command names it, the second takes it off",
        ("pulumi destroy  # again, when it is off",),
        (
            "gcloud ai endpoints describe {endpoint} --region={region} --project={project} "
            "--format='table(deployedModels.id,deployedModels.displayName)'",
            "gcloud ai endpoints undeploy-model {endpoint} --deployed-model-id=ID "
            "--region={region} --project={project}",
        ),
    ),
    "deleted role": Advice(
        "the custom role {on} was deleted, and its id is kept: for 7 days it can be brought back; "
        "after that, wait or use another id",
        ("pulumi config set rolePrefix OTHER  # other ids, or bring it back and `pulumi up`",),
        ("gcloud iam roles undelete {on} --project={project}",),
    ),
    "role exists": Advice(
        "the custom role is there already and not in the stack's state: import it",
        ("pulumi import gcp:projects/iAMCustomRole:IAMCustomRole NAME {on}",),
        ("gcloud iam roles describe {role_id} --project={project}",),
    ),
    "pool exists": Advice(
        "an identity pool has this id, or was deleted in the last 30 days: it keeps its id until "
        "then. Take another one (workflows name it too), or bring it back and import it",
        (
            "pulumi config set --path federation.pool OTHER_ID",
            "pulumi import gcp:iam/workloadIdentityPool:WorkloadIdentityPool github "
            "projects/{project}/locations/global/workloadIdentityPools/POOL  # and its providers",
        ),
        (
            "gcloud iam workload-identity-pools list --show-deleted --location=global "
            "--project={project}",
            "gcloud iam workload-identity-pools undelete POOL --location=global "
            "--project={project}",
        ),
    ),
    "role name": Advice(
        "there is no role {on} to grant there: a custom role is granted by its full name, "
        "projects/PROJECT/roles/ID, and a predefined one only where it applies",
        ("role=custom_role.name  # its full name, not roles/ID",),
        ("gcloud iam roles list --project={project} --format='value(name)'",),
    ),
    "not valid": Advice(
        "{permission} cannot be in a custom role of a project: {why}",
        ("permissions=[…]  # without it",),
        (
            "gcloud iam list-testable-permissions "
            "//cloudresourcemanager.googleapis.com/projects/{project}",
        ),
    ),
    "not supported": Advice(
        "{permission} exists, but Google does not allow it in custom roles: take it out, and "
        "grant a predefined role that holds it where it is needed",
        ("permissions=[…]  # without it",),
        (
            "gcloud iam list-testable-permissions "
            "//cloudresourcemanager.googleapis.com/projects/{project} "
            "--filter='customRolesSupportLevel=NOT_SUPPORTED'",
        ),
    ),
    "no account": Advice(
        "a grant names a service account that is not there: it was deleted, its name is wrong, or "
        "it was made seconds ago",
        ('gcp.serviceaccount.Account("…", account_id="ID")  # and depend on it',),
        ("gcloud iam service-accounts describe {on}",),
        "a new account may take a minute to be seen (inferred)",
    ),
    "key gone": Advice(
        "the key was deleted, rotated or has expired, or belongs to another account: no role is "
        "missing. Better no key: impersonate, or use workload identity federation",
        (),
        (
            "gcloud iam service-accounts keys list --iam-account=ACCOUNT --managed-by=user",
            "gcloud auth application-default login --impersonate-service-account=ACCOUNT",
        ),
    ),
    "clock": Advice(
        "the clock of the machine that signed is wrong (or the token was valid for more than an "
        "hour): no role is missing. Set the clock by NTP",
        (),
        ("timedatectl set-ntp true",),
    ),
    "account gone": Advice(
        "the account that the credentials are of is deleted or disabled: no role is missing",
        (),
        (
            "gcloud iam service-accounts describe ACCOUNT --format='value(disabled)'",
            "gcloud iam service-accounts enable ACCOUNT  # or, within 30 days: undelete UNIQUE_ID",
        ),
    ),
    "login": Advice(
        "the login has run out: no role is missing",
        (),
        ("gcloud auth login", "gcloud auth application-default login"),
    ),
    "token": Advice(
        "the access token has expired or is not one: no role is missing. Get a new one",
        (),
        ("gcloud auth application-default print-access-token",),
    ),
    "none": Advice(
        "no credentials were sent: no role is missing yet",
        (),
        ("gcloud auth application-default login",),
    ),
    "api key": Advice(
        "an API key is not accepted here: no role is missing. Use an access token",
        (),
        ("gcloud auth application-default login",),
    ),
    # Permissions that are missing, and of which more is to be said.
    "repository": Advice(
        "also printed when the repository does not exist; the permission's name is inferred from "
        "the role that cures it",
    ),
    "quota project": Advice(
        "this is about the quota project of the caller's credentials; the table has no such line, "
        "for the stack names none",
        (),
        (
            "gcloud auth application-default set-quota-project PROJECT_THAT_THE_CALLER_MAY_USE",
            "gcloud config unset billing/quota_project",
        ),
    ),
    "no quota project": Advice(
        "no role is missing: credentials of a person name no project that the calls of this API "
        "({api}) are counted for; set one, in which the API is on",
        ('gcp.Provider("…", user_project_override=True, billing_project="{mine}")',),
        ("gcloud auth application-default set-quota-project {mine}",),
    ),
    "build bucket": Advice(
        "Cloud Build's bucket is asked for with the project as quota project; an organisation "
        "policy or a perimeter shows the same sentence",
    ),
    "new agent": Advice(
        "the text does not say what is missing; a service agent that was just made gets its role "
        "(roles/eventarc.serviceAgent) some minutes later",
        ('gcp.projects.ServiceIdentity("agent", project="{project}", service="{api}")',),
        (
            "gcloud projects add-iam-policy-binding {project} --condition=None --role=roles/"
            "eventarc.serviceAgent --member=serviceAccount:service-NUMBER@gcp-sa-eventarc."
            "iam.gserviceaccount.com",
        ),
    ),
    "invoker": Advice(
        "the text does not say what is missing: Cloud Run wants run.routes.invoke "
        "(roles/run.invoker) and an ID token, Cloud Functions cloudfunctions.functions.invoke",
        (),
        (
            "gcloud run services add-iam-policy-binding SERVICE --region={region} "
            "--member=MEMBER --role=roles/run.invoker",
            'curl -H "Authorization: Bearer $(gcloud auth print-identity-token)" URL',
        ),
    ),
    "location": Advice(
        "the text does not say what is missing; also printed for a location that the service "
        "does not have",
    ),
    "key": Advice(
        "one of Google's agents is to use a key: whoever owns the key grants it, on the key itself",
        (),
        (
            "gcloud kms keys add-iam-policy-binding KEY --member=serviceAccount:AGENT "
            "--role=roles/cloudkms.cryptoKeyEncrypterDecrypter",
        ),
    ),
    "storage agent": Advice(
        "it is Cloud Storage's own service agent that lacks it, on the key: "
        "service-NUMBER@gs-project-accounts.iam.gserviceaccount.com",
        (),
        ("gcloud storage service-agent --project={project} --authorize-cmek=KEY",),
    ),
    "by the call": Advice(
        "the service's sentence names no permission; this is the one of the call that was made",
    ),
    "rules": Advice(
        "the text does not say what is missing: for a client of Firebase it is a security rule, "
        "for a server's account one of datastore.entities.* (roles/datastore.user)",
    ),
    "docker": Advice(
        "the text does not say what is missing: most often Docker has no credentials for this "
        "host; otherwise artifactregistry.repositories.downloadArtifacts or uploadArtifacts",
        (),
        ("gcloud auth configure-docker REGION-docker.pkg.dev",),
    ),
}
