"""Secret Manager: secrets, their versions, who may read them, and what they are sealed with.

Permissions: by the names in the catalogue. Shapes of answers and the 404: the recordings of secret
versions in k8s-config-connector. Names in answers carry the project's number. That data is stored
in certain places has no effect here. Regional secrets, types of secrets and tags answer 501.
"""

from simulator.api.calls import Service
from simulator.api.honoured import ALL, Table
from simulator.iam.allowpolicies import POLICY_FIELDS
from simulator.services.secretmanager import secrets, versions
from simulator.services.secretmanager.state import Secrets

HONOURED = Table(
    "secretmanager",
    {
        **POLICY_FIELDS,
        "AddSecretVersionRequest": ALL,
        "DestroySecretVersionRequest": ALL,
        "DisableSecretVersionRequest": ALL,
        "EnableSecretVersionRequest": ALL,
        "Replication": ALL,
        "Rotation": "nextRotationTime rotationPeriod",
        "Secret": (
            "annotations etag expireTime labels replication rotation topics ttl versionAliases "
            "versionDestroyTtl"
        ),
        "Topic": "name",
    },
)

SERVICE = Service(Secrets, secrets.method, versions.method, HONOURED)
