"""What Google's services say when they refuse: one sentence a line, with who reported it.

A sentence is a regular expression in which a space is any white space, `~` any quotes or none, and
`<permission>`, `<who>` and `<on>` are what it names: the permission, the principal, the resource.
`{verb}` in a permission is what the sentence's group of that name says. `about` names what
access/advice.py knows of it beyond its kind.

Sources are GitHub issues, pages of Google's documentation (`docs …`), files in gcp-facts/ or
reports/; "known" where a sentence is common knowledge and no report of it was at hand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

PERMISSION: Final = "permission"
UNSAID: Final = "unsaid"
SERVICE: Final = "service"
QUOTA: Final = "quota"
FEDERATION: Final = "federation"
PERIMETER: Final = "perimeter"
POLICY: Final = "policy"
SCOPES: Final = "scopes"
PROJECT: Final = "project"
HOST: Final = "host"
ROLE: Final = "role"
CREDENTIAL: Final = "credential"
STATE: Final = "state"
REGION: Final = "region"
BILLING: Final = "billing"

KINDS: Final = {
    PERMISSION: "somebody lacks a permission",
    UNSAID: "somebody lacks something, and the text does not say what",
    SERVICE: "the API is off in the project, or was switched on minutes ago",
    QUOTA: "a quota is used up",
    FEDERATION: "an identity pool refused the token of another identity provider",
    PERIMETER: "VPC Service Controls refused the request",
    POLICY: "an organisation policy forbids it",
    SCOPES: "the access token has too few OAuth scopes",
    PROJECT: "the project does not exist under this name, or is not the caller's to use",
    HOST: "the request went to the wrong host",
    ROLE: "a role is named or made in a way that Google refuses",
    CREDENTIAL: "the credentials themselves are not accepted",
    STATE: "something that is there stands in the way",
    REGION: "two resources that belong together are in different regions",
    BILLING: "the project has no billing account",
}

_QUOTES: Final = r"[\"'‘’“”`´\\]*"
_FIELDS: Final = {
    # A permission: service.resource.verb, or as deny policies write it.
    "<permission>": r"(?P<permission>[a-z][\w-]*(?:\.[\w-]+)+/\w+(?:\.\w+)+|[a-z]\w*(?:\.\w+)+)",
    "<who>": r"(?P<who>principal(?:Set)?://[^\s\"'`]*[^\s\"'`.,;:)]"
    r"|(?<![\w.+%*-])[\w.+%*-]{1,128}@[\w*-]+(?:\.[\w*-]+)+"
    r"|\$?[A-Z_]{3,}\b)",
    "<on>": r"(?P<on>(?!\()[^\s\"'‘’“”`<>\\\[\]]*[^\s\"'‘’“”`<>\\\[\].,;:)])",
    # Often, and nothing is lost without it.
    "<tail>": r"(?: \(or (?:it|the resource|resource) may not exist\))?\.?",
}
_FIELD: Final = re.compile(r"(?<!\?P)<(?:permission|who|on|tail)>")


@dataclass(frozen=True)
class Sentence:
    service: str
    kind: str
    permission: str
    """Where the sentence does not name it; empty where it does, or where nothing is missing."""
    pattern: str
    source: str
    about: str = ""

    @cached_property
    def regex(self) -> re.Pattern[str]:
        pattern = _FIELD.sub(lambda found: _FIELDS[found[0]], self.pattern)
        return re.compile(pattern.replace("~", _QUOTES).replace(" ", r"\s+"))


ACT_AS: Final = "iam.serviceAccounts.actAs"
USE_KEY: Final = "cloudkms.cryptoKeyVersions.useToEncrypt"

# fmt: off
SENTENCES: Final[tuple[Sentence, ...]] = tuple(Sentence(*row) for row in (
    # Any service: IAM's own sentence. Cloud Run and Functions write actAs in small letters.
    ("iam", PERMISSION, "", r"(?:IAM [Pp]|[Pp])ermission ~\[?<permission>\]?~ (?:is |was )?denied(?: (?:on|for)(?: the)?(?: (?:resource|service account|dataset|table|project|bucket|secret|key|topic|subscription|model|routine)\b(?: ~<on>~)?| ~(?P<on2>[\w-]+[/:.@][^\s\"'<>]*[^\s\"'<>.,;:)])~))?<tail>", "gcp-facts/02_errors.md; google/keyword_factory#22; googleapis/python-secret-manager#389"),
    ("iam", PERMISSION, "", r"Permission <permission> is required(?: to perform this operation)?(?: on (?:project|service account|organization|folder|resource) ~<on>~)?\.?", "hashicorp/vault-plugin-secrets-gcp#12"),
    ("iam", PERMISSION, "", r"(?:<who> )?does not have ~\[?<permission>\]?~ permission(?:s|\(s\))?(?: (?:on|for|in|to)(?: the)?(?: \w+)? ~<on>~)?<tail>", "inferred from BigQuery's and Vertex AI's"),
    ("iam", PERMISSION, "", r"requires? (?:one of )?\[?~<permission>~\]? permission\(s\)", "known: GKE"),

    # This stack's own words before Google's: they name who was refused.
    ("vertexops", PERMISSION, "", r"needs <permission> on <on>, which <who> does not have", "vertexops/errors.py"),
    ("vertexops", PERMISSION, "", r"<who> may not become <on>: grant it a role with <permission> on \S+", "vertexops/errors.py"),

    # Vertex AI
    ("aiplatform", PERMISSION, ACT_AS, r"You do not have permission to act as service_account: ~<on>~\.?<tail>", "googleapis/python-aiplatform#1073"),
    ("aiplatform", PERMISSION, "", r"[Ss]ervice account ~<who>~ does not have ~\[?<permission>(?:, (?P<more>[\w., ]*\w))?\]?~ IAM permission\(s\) to the (?:directory|file|object|bucket|path) ~<on>~\.?", "GoogleCloudPlatform/vertex-ai-samples#3710"),
    ("aiplatform", PERMISSION, "artifactregistry.repositories.downloadArtifacts", r"(?:[A-Z][\w ]*Service Agent|[Ss]ervice account) ~<who>~ does not have permission to access (?:the )?Artifact Registry repository ~<on>~\.?", "neuralmagic/deepsparse README; gcp-facts/02_errors.md", "repository"),
    ("aiplatform", HOST, "", r"Dedicated Endpoint cannot be accessed through the shared Vertex AI domain (?P<wrong>\S+?)\.?\s+Please access the endpoint using its dedicated domain name ~<on>~", "googleapis/python-aiplatform, gcp-facts", "dedicated"),
    ("aiplatform", REGION, "", r"The Cloud Storage bucket of ~<on>~ is in location ~(?P<there>[\w-]+)~\. It must be in the same regional location as the service location ~(?P<here>[\w-]+)~", "googleapis/python-aiplatform#885", "bucket region"),
    ("aiplatform", STATE, "", r"Endpoint(?: ~\S+~)? has deployed or being-deployed DeployedModel\(s\)", "reports/denials.jsonl", "foreign model"),
    ("aiplatform", QUOTA, "", r"The following quotas are exceeded: <on>(?: \d+)?", "gcp-facts/02_errors.md", "serving quota"),
    ("aiplatform", QUOTA, "", r"The following quota metrics exceed quota limits: ~<on>~", "GoogleCloudPlatform/vertex-ai-samples#700", "allocation"),

    # Service accounts: acting as one, in each service's words
    ("compute", PERMISSION, "", r"<who> needs <permission> \(Service Account User\) permission on (?:VM )?[Ss]ervice [Aa]ccount ~<on>~", "everycure-org/matrix#1883"),
    ("functions", PERMISSION, "", r"[Mm]issing necessary permission ~<permission>~(?: for ~<who>~)? on (?:the )?(?:service account|resource) ~<on>~", "google-github-actions/deploy-cloud-functions#25"),
    ("functions", PERMISSION, "", r"(?:[Cc]aller|<who>) is missing permission ~<permission>~(?: on (?:the )?(?:service account|resource) ~<on>~)?", "known: Cloud Functions"),
    ("functions", PERMISSION, "", r"You must have permission ~<permission>~ on service account ~<on>~", "google/ground-platform#1676"),
    ("appengine", PERMISSION, ACT_AS, r"You do not have permission to act as(?: (?:the )?service account)? ~(?!this\b)<on>~", "google-github-actions/setup-gcloud#191"),
    ("dataproc", PERMISSION, ACT_AS, r"User(?: ~\[?<who>\]?~)? not authorized to act as service account ~<on>~", "ankurchavda/streamify#7"),
    ("dataflow", PERMISSION, ACT_AS, r"[Cc]urrent user cannot act as service account(?: ~<on>~)?", "hashicorp/terraform-provider-google#7126"),
    ("compute", PERMISSION, ACT_AS, r"(?:The user|User|~\[?<who>\]?~) does not have access to service account ~<on>~(?:\.? User: ~(?P<who2>[\w.+%-]+@[\w-]+(?:\.[\w-]+)+)~)?", "googleapis/google-cloud-java#10061; GoogleCloudPlatform/pubsec-declarative-toolkit#607"),
    ("iam", PERMISSION, ACT_AS, r"[Pp]rincipal ~<who>~ (?:does not have|lacks) (?:the )?(?:iam\.serviceAccounts\.)?actAs(?: permission)? on ~<on>~", "inferred from Cloud Functions'"),

    # Roles and service accounts
    ("iam", PERMISSION, "iam.roles.{verb}", r"[Yy]ou don~t have permission to (?P<verb>create|update|delete|undelete|get|list) (?:a |the )?roles?(?: ~?\S+~?)? in ~<on>~", "hashicorp/terraform-provider-google#11680"),
    ("resourcemanager", PERMISSION, "resourcemanager.projects.setIamPolicy", r"(?:IAM policy for project ~<on>~: )?(?:googleapi: Error 403: )?Policy update access denied\.?", "hashicorp/terraform-provider-google#10103"),
    ("resourcemanager", PERMISSION, "resourcemanager.projects.get", r"the user does not have permission to access Project ~<on>~ or it may not exist", "terraform-google-modules/terraform-google-project-factory#555"),
    ("iam", ROLE, "", r"You can~t create a role with role_id \(~<on>~\) where there is an existing role with that role_id in a deleted state\.?", "gcp-facts/02_errors.md", "deleted role"),
    ("iam", ROLE, "", r"You can~t create a role_id \(~<on>~\) which has been marked for deletion\.?", "terraform-google-modules/terraform-google-bastion-host#14", "deleted role"),
    ("iam", ROLE, "", r"[Cc]ustom (?:project |organization )?role ~<on>~ already exists and must be imported", "resource_google_project_iam_custom_role.go", "role exists"),
    ("iam", ROLE, "", r"Role ~<on>~ is not supported for this resource\.?", "terraform-google-modules/terraform-google-iam#219", "role name"),
    ("iam", ROLE, "", r"Role \(?~<on>~\)? does not exist in the resource~s hierarchy\.?", "known: Resource Manager", "role name"),
    ("iam", ROLE, "", r"Permission ~<permission>~ is not valid\.?", "terraform-google-modules/terraform-google-iam#158; hashicorp/terraform-provider-google#14033", "not valid"),
    ("iam", ROLE, "", r"Permission ~<permission>~ is not supported in custom roles\.?", "terraform-google-modules/terraform-google-iam#130", "not supported"),
    ("iam", STATE, "", r"Error creating WorkloadIdentityPool: googleapi: Error 409: Requested entity already exists", "hashicorp/terraform-provider-google#14191", "pool exists"),
    ("iam", STATE, "", r"[Ss]ervice account ~<on>~ does not exist\.", "known: setIamPolicy", "no account"),

    # Cloud Storage: the old text has the name, then none, today's a full resource name.
    ("storage", PERMISSION, "", r"(?:(?P<anonymous>Anonymous caller)|~<who>~|\*{3}|[Cc]aller) does not have ~<permission>~ access to(?: the Google Cloud (?:Storage )?(?:object|bucket|project|managed folder|folder|resource)| (?:object|bucket|project|managed folder) ~<on>~| ~(?P<on2>(?!the\b)[^\s\"'<>]*[^\s\"'<>.,;:])~)?\.?(?: Permission ~[\w.]+~ denied on resource(?: ~(?P<on3>//[^\s\"'<>]*[^\s\"'<>.,;:)])~)?<tail>)?", "GoogleCloudPlatform/gsutil#546; jwngr/sdow#42; googleapis/google-cloud-php#1040; n8n-io/n8n#34269"),
    ("storage", UNSAID, "", r"<Code>AccessDenied</Code>\s*<Message>\s*Access denied\.\s*</Message>(?!\s*<Details>)", "openai/glow#60"),
    ("storage", PERMISSION, "", r"You need the ~<permission>~ permission", "googleapis/google-cloud-python#6213"),

    # A key of one's own, which one of Google's agents is to use
    ("storage", PERMISSION, USE_KEY, r"Permission denied on Cloud KMS key\. Please ensure that your Cloud Storage service account has been authorized to use this key\.?", "googleapis/nodejs-storage#1254; ollionorg/gcp-landing-zone#59", "storage agent"),
    ("artifactregistry", PERMISSION, USE_KEY, r"Permission denied on Cloud KMS key\. Please ensure your Artifact Registry service account has been authorized to use the configured key\.?", "hashicorp/terraform-provider-google#11913", "key"),
    ("pubsub", PERMISSION, USE_KEY, r"Cloud Pub/Sub did not have the necessary permissions configured to support this operation\. Please verify that the service account ~<who>~ was granted the Cloud KMS CryptoKey Encrypter/Decrypter role for the project containing the CryptoKey resource ~<on>~\.?", "several public repositories, as simulator/services/pubsub/encryption.py", "key"),
    ("bigquery", PERMISSION, "", r"Cloud KMS Error: Permission ~<permission>~ denied on resource ~<on>~<tail> Please grant Cloud KMS CryptoKey Encrypter/Decrypter role to BigQuery service account: ~<who>~", "terraform-google-modules/terraform-docs-samples#334", "key"),

    # BigQuery
    ("bigquery", PERMISSION, "", r"(?:The user ~<who>~|[Uu]ser) does not have ~<permission>~ permission (?:in|for|on) (?:project|dataset|table|view) ~<on>~", "googleapis/google-cloud-java#7631"),
    ("bigquery", PERMISSION, "bigquery.tables.getData", r"(?:[Tt]he user ~<who>~|[Uu]ser) does not have permission to query (?:table|view) (?:or perhaps it does not exist[\w ]*\.? ?)?~<on>~(?:, or perhaps it does not exist(?: in location [\w-]+)?\.?)?", "stanford-esrg/LEO_HitchHiking#2; isb-cgc/examples-R#33"),
    ("bigquery", PERMISSION, "storage.objects.get", r"Access Denied: File ~<on>~: Access Denied", "known: BigQuery load jobs and external tables"),
    ("bigquery", SCOPES, "", r"Permission denied while (?:getting Drive credentials|globbing file pattern)\.?", "dbt-labs/dbt-core#502", "drive"),
    # Spanner and Bigtable, Cloud Build, Cloud Functions
    ("spanner", PERMISSION, "", r"Resource ~<on>~ is missing IAM permission: ~<permission>~", "spring-attic/spring-cloud-gcp#701"),
    ("bigtable", PERMISSION, "", r"Missing IAM permission: ~<permission>~", "data-integrations/google-cloud#1551; kelseyhightower/gif-maker#2"),
    ("cloudbuild", PERMISSION, "serviceusage.services.use", r"The user is forbidden from accessing the bucket \[~<on>~\]\.(?: Please check your organization~s policy or if the user has the ~serviceusage\.services\.use~ \w+\.?)?", "google-github-actions/setup-gcloud#364", "build bucket"),
    ("cloudbuild", UNSAID, "", r"invalid bucket ~<on>~; (?:default Cloud Build service account or user-specified )?service account does not have access to the bucket", "GoogleCloudPlatform/rad-lab#232"),
    ("functions", PERMISSION, "", r"Unable to retrieve the repository metadata for ~<on>~\. Ensure that the Cloud Functions service account has ~<permission>~(?: and ~(?P<more>[\w.]*\w)~)? permissions?", "Liscor/terraform_cloud_run_sgtm#3"),
    ("eventarc", UNSAID, "", r"[Pp]ermission denied while using the Eventarc Service Agent\.?", "terraform-google-modules/terraform-docs-samples#203", "new agent"),
    ("run", UNSAID, "", r"Your client does not have permission to get URL ~\S*?~ from this server", "datacommonsorg/docsite#463", "invoker"),
    ("functions", UNSAID, "", r"Permission denied on ~<on>~ \(or it may not exist\)", "hashicorp/terraform-provider-google#17037", "location"),

    ("pubsub", PERMISSION, "", r"[Ss]ervice account ~<who>~ is missing permissions required to write to the BigQuery table: <permission>(?:, (?P<more>[\w., ]*\w))?", "docs pubsub/docs/create-bigquery-subscription"),

    # Pub/Sub, Cloud SQL, Firestore name nothing at all.
    ("pubsub", UNSAID, "", r"User not authorized to perform this action\.?", "googleapis/google-cloud-ruby#17944; googleapis/nodejs-pubsub#1180"),
    ("cloudsql", UNSAID, "", r"The client is not authorized to make this request\.?", "GoogleCloudPlatform/cloud-sql-proxy#79; hashicorp/terraform-provider-google#1069"),
    ("firestore", UNSAID, "", r"Missing or insufficient permissions\.?", "googleapis/google-cloud-java#7697", "rules"),

    # Secret Manager, Artifact Registry, Cloud Run
    ("secretmanager", PERMISSION, "secretmanager.versions.access", r"Permission denied on secret: ~<on>~ for Revision service account ~<who>~", "sourcegraph/sourcegraph-public-snapshot#59045"),
    ("artifactregistry", PERMISSION, "", r"(?P<anonymous>Unauthenticated requests?) do(?:es)? not have permission ~<permission>~ on resource ~<on>~<tail>", "GoogleCloudPlatform/generative-ai#693"),
    ("artifactregistry", UNSAID, "", r"You don~t have the needed permissions to perform this operation, and you may have invalid credentials\.?", "GoogleCloudPlatform/cloud-run-button#247", "docker"),
    ("run", PERMISSION, "artifactregistry.repositories.downloadArtifacts", r"Service Agent ~<who>~ must have permission to read the image, ~<on>~", "known: Cloud Run", "repository"),

    # Service Usage
    ("serviceusage", PERMISSION, "serviceusage.services.{verb}", r"Permission denied to (?P<verb>list|enable|disable|get|use) services?(?: for consumer container)? ~\[?<on>\]?~", "aquasecurity/cloudsploit#1606"),
    ("serviceusage", PERMISSION, "serviceusage.services.use", r"Caller does not have required permission to use project ~<on>~\.?(?: Grant the caller (?:the )?[\w./, ]*?(?:serviceUsageConsumer|serviceusage\.services\.use|Editor) (?:role|permission)?)?", "hashicorp/terraform-provider-google#17938; google-github-actions/auth#250", "quota project"),
    ("serviceusage", PERMISSION, "servicemanagement.services.bind", r"Not found or permission denied for service\(s\): ~<on>~", "known: services.batchEnable"),
    ("serviceusage", SERVICE, "", r"(?:[A-Z][\w()&. /-]{0,80} )?has not been used in project ~<on>~ before or it is disabled\.?(?: Enable it by visiting \S+)?", "gcp-facts/02_errors.md; openshift/installer#2187", "off"),
    ("serviceusage", SERVICE, "", r"API \[~(?P<api>[\w.-]+)~\] not enabled on project \[~<on>~\]", "known: gcloud", "off"),
    ("bigquery", SERVICE, "", r"[Tt]he project ~<on>~ has not enabled BigQuery", "known: BigQuery", "off"),

    # Compute Engine, GKE, Deployment Manager
    ("compute", PERMISSION, "", r"Required ~<permission>~ permission(?:\(s\))?(?: for ~<on>~)?", "LeanerCloud/CUDly#247; terraform-google-modules/terraform-google-kubernetes-engine#926; kubernetes/k8s.io#801"),
    ("compute", QUOTA, "", r"Quota ~<on>~ exceeded\. +Limit: (?P<limit>[\d.]+)(?: (?:in region (?P<region>[\w-]+)|globally))?\.?", "scylladb/scylla-cluster-tests#3649", "allocation"),
    ("container", QUOTA, "", r"Insufficient (?:project|regional) quota to satisfy request: resource ~<on>~(?:: request requires ~(?P<needs>[\d.]+)~ and is short ~(?P<short>[\d.]+)~)?", "kubeflow/examples#597", "allocation"),
    ("appengine", QUOTA, "", r"The following quotas were exceeded: <on> \(quota: (?P<limit>\d+)", "PolicyEngine/policyengine-api#177", "allocation"),

    # Cloud Tasks, Cloud Scheduler
    ("cloudtasks", PERMISSION, "", r"lacks IAM permission ~<permission>~(?: for the resource ~<on>~)?(?: \(or the resource may not exist\))?\.?", "googleapis/repo-automation-bots#5598"),

    # Rates
    ("any", QUOTA, "", r"Quota exceeded for quota metric ~(?P<on>[^'\"]+?)~ and limit ~(?P<limit>[^'\"]+?)~ of service ~(?P<api>[\w.-]+)~ for consumer ~(?P<consumer>[\w:./-]+)~", "GoogleCloudPlatform/python-docs-samples#3482", "rate"),
    ("aiplatform", QUOTA, "", r"Quota exceeded for (?P<on>[\w.-]+/\w+)(?: with base model: [\w.@-]+)?", "GoogleCloudPlatform/Open_Data_QnA#61", "rate"),
    ("any", QUOTA, "", r"(?:Rate|Daily|User [Rr]ate) [Ll]imit [Ee]xceeded\.?", "murer/dsopz#6", "rate"),
    ("bigquery", QUOTA, "", r"Exceeded rate limits: (?P<on>[\w -]+)", "known: BigQuery", "rate"),
    ("any", QUOTA, "", r"Resource has been exhausted \(e\.g\. check quota\)\.?", "known: google.rpc RESOURCE_EXHAUSTED", "which quota"),

    # Federation
    ("sts", FEDERATION, "", r"The given credential is rejected by the attribute condition\.?", "terraform-google-modules/terraform-example-foundation#1362", "attribute condition"),
    ("iam", FEDERATION, "", r"The attribute condition must reference one of the provider~s claims\.?", "gcp-facts/02_errors.md", "no condition"),
    ("sts", FEDERATION, "", r"Invalid value for ~audience~\.(?: This value should be the full resource name of the Identity Provider\.?)?", "google-github-actions/auth#211", "audience name"),
    ("sts", FEDERATION, "", r"The target service indicated by the ~audience~ parameters? is invalid\.?(?: This might either be because the pool or provider is disabled or deleted or because it doesn~t exist\.?)?", "google-github-actions/auth#202", "pool"),
    ("sts", FEDERATION, "", r"The audience in ID Token (?:\[?[^\]\n]{0,300}?\]? )?does not match the expected audience", "known: sts.googleapis.com", "audience"),
    ("sts", FEDERATION, "", r"The issuer in ID Token (?:\S{1,300} )?does not match the expected", "known: sts.googleapis.com", "issuer"),
    ("sts", FEDERATION, "", r"Error connecting to the given credential~s issuer\.?", "known: sts.googleapis.com", "issuer"),
    ("sts", FEDERATION, "", r"The size of mapped attribute \S+ exceeds the 127 bytes limit\.?", "known: sts.googleapis.com", "subject"),
    ("github", FEDERATION, "", r"GitHub Actions did not inject \$ACTIONS_ID_TOKEN_REQUEST_TOKEN", "google-github-actions/auth TROUBLESHOOTING", "id-token"),

    # Perimeters, organisation policies
    ("accesscontextmanager", PERIMETER, "", r"Request is prohibited by organization~s policy\.?(?: vpcServiceControlsUniqueIdentifier: (?P<id>[\w-]+))?", "cloudquery/cloudquery#1062; googleapis/python-aiplatform#5132", "perimeter"),
    ("orgpolicy", POLICY, "", r"(?P<constraint>One or more users named in the policy do not belong to a permitted customer)(?:, +perhaps due to an organization policy)?\.?", "terraform-google-modules/terraform-example-foundation#1257; googlemaps/js-route-optimization-app#198", "domains"),
    ("orgpolicy", POLICY, "", r"Key creation is not allowed on this service account\.?", "GaloyMoney/galoy-infra#242", "keys"),
    ("orgpolicy", POLICY, "", r"\btype~: ~(?P<on>constraints/[\w.]+)~", "PreconditionFailure, as gcloud prints it", "constraint"),
    ("orgpolicy", POLICY, "", r"Service account creation is not allowed on this project\.?", "known: iam.disableServiceAccountCreation", "constraint"),
    ("orgpolicy", POLICY, "", r"Constraint ~<on>~ violated (?:for|on) (?:project |resource )?~(?P<where>[\w:/.-]*\w)~", "gardener/gardener-extension-provider-gcp#415", "constraint"),
    ("orgpolicy", POLICY, "", r"(?:Location )?~[\w-]+~ violates constraint ~<on>~(?: on the resource ~(?P<where>\S+?)~)?", "canada-ca/cloud-guardrails-gcp#11; cloudfoundry/bosh-bootloader#513", "locations"),
    ("orgpolicy", POLICY, "", r"Request is disallowed by organization~s <on> constraint(?: for ~(?P<where>[\w/.-]+)~)?(?: attempting to use service ~[\w.]+~)?", "known: gcp.restrictServiceUsage", "constraint"),
    ("orgpolicy", POLICY, "", r"(?:Operation|Request) (?:is )?denied by (?:an )?org(?:anization)? policy(?: on resource ~(?P<where>[^\s\"']+?)~)?(?:: \[?~<on>~)?", "known: custom constraints", "constraint"),
    ("storage", POLICY, "", r"The member bindings allUsers and allAuthenticatedUsers are not allowed since public access prevention is enforced\.?", "known: Cloud Storage", "public access"),

    # Projects
    ("any", PROJECT, "", r"Permission denied on resource project ~?#?(?P<on>[^.\n\"'\]]{1,80}?)~?\.(?=\W|$)", "GoogleCloudPlatform/training-data-analyst#1811; Kilo-Org/kilocode#2842", "wrong project"),
    ("any", PROJECT, "", r"Project ~(?:project:)?<on>~ not found or (?:permission denied|deleted)", "googleapis/google-api-nodejs-client#3241", "wrong project"),
    ("any", PROJECT, "", r"The (?P<api>[\w.-]+) API requires a quota project, which is not set by default\.?", "terraform-google-modules/terraform-google-org-policy#94", "no quota project"),
    ("any", PROJECT, "", r"Project #?~<on>~ has been deleted\.?", "googleapis/google-api-php-client#2422", "deleted project"),
    ("any", PROJECT, "", r"[Uu]nknown project id: ~<on>~", "known: Cloud Storage", "wrong project"),
    ("any", PROJECT, "", r"(?:[Ff]ailed to find|[Ii]nvalid project:) project ~<on>~", "known: Compute Engine", "wrong project"),
    ("any", BILLING, "", r"This API method requires billing to be enabled\.?(?: Please enable billing on project #?~?<on>~?)?", "known: BILLING_DISABLED", "billing"),
    ("any", BILLING, "", r"The (?:billing account|project to be billed) [\w ]*(?:is disabled|absent billing account)", "known: Cloud Storage", "billing"),

    # Credentials and scopes
    ("any", SCOPES, "", r"Request had insufficient authentication scopes\.?", "googleapis/python-aiplatform#902", "scopes"),
    ("any", SCOPES, "", r"Insufficient Permission\b(?!\s+[a-z])", "GoogleCloudPlatform/cloud-builders#104", "scopes"),
    ("any", SCOPES, "", r"Provided scope\(s\) are not authorized\.?", "known: Cloud Storage", "scopes"),
    ("oauth2", CREDENTIAL, "", r"Invalid JWT Signature\.?", "googleapis/google-cloud-python#10004", "key gone"),
    ("oauth2", CREDENTIAL, "", r"Invalid JWT: Token must be a short-lived token(?: \(60 minutes\))? and in a reasonable timeframe\.?", "fastlane/fastlane#14972", "clock"),
    ("oauth2", CREDENTIAL, "", r"[Ii]nvalid[_ ]grant: (?:Invalid grant: )?[Aa]ccount not found", "known: oauth2.googleapis.com", "account gone"),
    ("oauth2", CREDENTIAL, "", r"(?:Invalid grant: account not found|Robot is disabled|Account has been deleted)\.?", "googleapis/google-api-ruby-client#720", "account gone"),
    ("oauth2", CREDENTIAL, "", r"Token has been expired or revoked\.?", "known: oauth2.googleapis.com", "login"),
    ("oauth2", CREDENTIAL, "", r"[Rr]eauth(?:entication)? (?:is needed|related error)(?: \(invalid_rapt\))?", "known: google-auth", "login"),
    ("any", CREDENTIAL, "", r"Request had invalid authentication credentials\. Expected OAuth 2 access token", "typesense/typesense#1611", "token"),
    ("any", CREDENTIAL, "", r"Request is missing required authentication credential\. Expected OAuth 2 access token", "known: UNAUTHENTICATED", "none"),
    ("any", CREDENTIAL, "", r"API keys are not supported by this API\.?", "google-gemini/gemini-cli#1463", "api key"),
    ("any", CREDENTIAL, "", r"API key (?:expired|not valid)\.?", "known: API_KEY_INVALID", "api key"),
    ("any", CREDENTIAL, "", r"(?:Your d|D|d|Could not automatically determine credentials.{0,40}?d)efault credentials were not found\.?", "known: google-auth", "none"),

    # What says next to nothing. gcloud's frame goes before another sentence, and gives way to it.
    ("gcloud", UNSAID, "", r"[Uu]ser \[~<who>~\] does not have permission to access (?P<collection>[\w.]+)(?: instance)? \[~<on>~\](?: \(or it may not exist\))?(?:: The caller does not have permission)?", "google-github-actions/deploy-appengine#28; googleapis/nodejs-tasks#68"),
    ("any", UNSAID, "", r"[Tt]he caller does not have permission\b", "hashicorp/terraform-provider-google#2760; google-github-actions/auth#104"),
    ("any", UNSAID, "", r"Not authorized to access resource\.?(?: Possibly missing permission(?: ~?<permission>~?)?(?: on resource ~?<on>~?)?)?", "GoogleCloudPlatform/spring-cloud-gcp#521"),
    ("any", UNSAID, "", r"googleapi: Error 403: (?:Forbidden|Access [Dd]enied|Permission denied)[.,]", "known: google-api-go-client"),
))
# fmt: on

FALLBACK: Final = (
    re.compile(r"PERMISSION_DENIED(?:[:\"',]\s*(?P<said>[^\n\"]{0,200}))?"),
    re.compile(r"(?:PermissionDenied|\bForbidden): 403 (?P<said>[^\n]{0,200})"),
    re.compile(r"Access Denied: (?P<said>[A-Z]\w+ [^\n]{0,200})"),
    re.compile(r"code = PermissionDenied desc = (?P<said>[^\n]{0,200})"),
    re.compile(r"googleapi: Error 403: (?P<said>[^\n]{0,200})"),
    re.compile(
        r"(?i:httperror) 403(?::| when requesting \S+googleapis\.com)(?P<said>[^\n]{0,200})"
    ),
)
"""Frames in which Google's libraries put a refusal, for sentences that no line above knows."""

NAMED: Final = re.compile(
    r"(?i)\b(?:missing|lack(?:s|ing)?|denied|requires?|required|needs?|not (?:have|authorized|"
    r"allowed|granted)|don~?t have|forbidden|without|insufficient)\b".replace("~", "['’]")
)
"""Words of refusal; a permission's name in their sentence is what is missing."""

# ErrorInfo.reason (google/api/error_reason.proto): kind, permission, what access/advice.py says.
REASONS: Final[dict[str, tuple[str, str, str]]] = {
    "IAM_PERMISSION_DENIED": (PERMISSION, "", ""),
    "SERVICE_DISABLED": (SERVICE, "", "off"),
    "BILLING_DISABLED": (BILLING, "", "billing"),
    "CONSUMER_INVALID": (PROJECT, "", "wrong project"),
    "CONSUMER_SUSPENDED": (PROJECT, "", "suspended"),
    "USER_PROJECT_DENIED": (PERMISSION, "serviceusage.services.use", "quota project"),
    "AUTH_PERMISSION_DENIED": (UNSAID, "", ""),
    "SECURITY_POLICY_VIOLATED": (PERIMETER, "", "perimeter"),
    "LOCATION_POLICY_VIOLATED": (POLICY, "", "locations"),
    "LOCATION_ORG_POLICY_VIOLATED": (POLICY, "", "locations"),
    "ORG_RESTRICTION_VIOLATION": (POLICY, "", "constraint"),
    "ORG_RESTRICTION_HEADER_INVALID": (POLICY, "", "constraint"),
    "RESOURCE_USAGE_RESTRICTION_VIOLATED": (POLICY, "", "constraint"),
    "RATE_LIMIT_EXCEEDED": (QUOTA, "", "rate"),
    "RESOURCE_QUOTA_EXCEEDED": (QUOTA, "", "allocation"),
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": (SCOPES, "", "scopes"),
    "ACCESS_TOKEN_EXPIRED": (CREDENTIAL, "", "token"),
    "ACCESS_TOKEN_TYPE_UNSUPPORTED": (CREDENTIAL, "", "token"),
    "ACCOUNT_STATE_INVALID": (CREDENTIAL, "", "account gone"),
    "CREDENTIALS_MISSING": (CREDENTIAL, "", "none"),
    "API_KEY_INVALID": (CREDENTIAL, "", "api key"),
    "API_KEY_SERVICE_BLOCKED": (CREDENTIAL, "", "api key"),
    # compute and others, outside that file
    "QUOTA_EXCEEDED": (QUOTA, "", "allocation"),
}
