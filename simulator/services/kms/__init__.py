"""Cloud KMS: key rings, symmetric keys and their versions, and what is encrypted with them.

Permissions: by the names in the catalogue, one for each method (an inference where two methods
share one). Shapes of answers and the 404: http-logs/vertex-endpoint-encryptionkey.log. Rings and
keys outlive a stack: the official provider deletes neither, it destroys the versions; the delete
methods that the discovery document has are not simulated.
"""

from simulator.api.calls import Service
from simulator.api.honoured import ALL, Table
from simulator.iam.allowpolicies import POLICY_FIELDS
from simulator.services.kms import keys, versions
from simulator.services.kms.state import Kms

HONOURED = Table(
    "cloudkms",
    {
        **POLICY_FIELDS,
        "CryptoKey": (
            "destroyScheduledDuration labels nextRotationTime purpose rotationPeriod "
            "versionTemplate"
        ),
        "CryptoKeyVersion": "state",
        "CryptoKeyVersionTemplate": ALL,
        "DecryptRequest": ALL,
        "EncryptRequest": ALL,
        "UpdateCryptoKeyPrimaryVersionRequest": ALL,
    },
)

SERVICE = Service(Kms, keys.method, versions.method, HONOURED)
