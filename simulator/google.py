"""Google Cloud, put together: the only file that knows every service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from simulator.api.audit import Audit
from simulator.api.calls import Methods, Service
from simulator.api.discovery import Discovery
from simulator.api.honoured import Honoured
from simulator.api.operations import Operations
from simulator.core.clock import Clock
from simulator.core.cloud import Cloud
from simulator.core.delays import Delays
from simulator.iam import denypolicies, roles
from simulator.iam.decisions import Iam
from simulator.identity import accounts, iamcredentials, keys, oauth, pools
from simulator.identity.issuers import Issuers
from simulator.identity.tokens import Identity
from simulator.services import (
    artifactregistry,
    bigquery,
    clearblade,
    compute,
    kms,
    logging,
    monitoring,
    orgpolicy,
    policytroubleshooter,
    pubsub,
    quotas,
    resourcemanager,
    secretmanager,
    serviceusage,
    storage,
    vertex,
)

SERVICES: Final[tuple[Service, ...]] = (
    resourcemanager.SERVICE,
    serviceusage.SERVICE,
    quotas.SERVICE,
    accounts.SERVICE,
    keys.SERVICE,
    pools.SERVICE,
    oauth.SERVICE,
    iamcredentials.SERVICE,
    roles.SERVICE,
    denypolicies.SERVICE,
    policytroubleshooter.SERVICE,
    orgpolicy.SERVICE,
    compute.SERVICE,
    kms.SERVICE,
    secretmanager.SERVICE,
    artifactregistry.SERVICE,
    storage.SERVICE,
    vertex.SERVICE,
    bigquery.SERVICE,
    pubsub.SERVICE,
    logging.SERVICE,
    monitoring.SERVICE,
    clearblade.SERVICE,
)


class GoogleCloud(Cloud):
    """A cloud of its own, empty but for what a seed puts there (`simulator.seed`)."""

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        delays: Delays | None = None,
        quotas: Mapping[str, int] | None = None,
        name: str = "rehearsal",
    ) -> None:
        super().__init__(clock=clock, delays=delays, quotas=quotas, name=name)
        for part in (Discovery(), Methods(), Honoured(), Audit()):
            self.add(part)
        for kind in (Operations, Iam, Identity, Issuers):
            self.add(kind(self))
        for service in SERVICES:
            service.add_to(self)
