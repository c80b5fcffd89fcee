"""Identity pools and their providers: IAM v1 `projects.locations.workloadIdentityPools` and
`locations.workforcePools`.

What is deleted stays for 30 days: it can be read and undeleted, its id cannot be used again, and
what was issued through a deleted or disabled pool is worth nothing until that is taken back (IAM v1
discovery document).
"""

from simulator.api.calls import Service
from simulator.api.honoured import Table
from simulator.identity.pools import methods
from simulator.identity.pools.state import Pools

BY_PATH = "the path says which one it is, or the id beside it"
SHARED = "description disabled displayName"
PROVIDED = f"{SHARED} attributeCondition attributeMapping oidc saml"

HONOURED = Table(
    "iam",
    {
        "WorkloadIdentityPool": f"{SHARED} mode",
        "WorkloadIdentityPoolProvider": f"{PROVIDED} aws x509",
        "Oidc": "allowedAudiences discoveryUri issuerUri jwksJson",
        "Aws": "accountId",
        "Saml": "idpMetadataXml",
        "X509": "trustStore",
        "TrustStore": "intermediateCas trustAnchors",
        "IntermediateCA": "pemCertificate",
        "TrustAnchor": "pemCertificate",
        # Which services people may use in a browser does not matter here.
        "WorkforcePool": f"{SHARED} accessRestrictions parent sessionDuration",
        "AccessRestrictions": "allowedServices",
        "ServiceConfig": "domain",
        # No log here tells of the token service, and nobody signs in with a browser.
        "WorkforcePoolProvider": f"{PROVIDED} detailedAuditLogging vendorType",
        "WorkforcePoolProviderOidc": "clientId clientSecret issuerUri jwksJson webSsoConfig",
        "WorkforcePoolProviderOidcClientSecret": "value",
        "WorkforcePoolProviderOidcClientSecretValue": "plainText",
        "WorkforcePoolProviderOidcWebSsoConfig": "*",
        "WorkforcePoolProviderSaml": "idpMetadataXml",
    },
    {
        f"{item}.name": BY_PATH
        for pool in ("WorkloadIdentityPool", "WorkforcePool")
        for item in (pool, f"{pool}Provider")
    },
)

SERVICE = Service(Pools, methods.method, HONOURED)
