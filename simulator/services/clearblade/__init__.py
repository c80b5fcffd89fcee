"""ClearBlade IoT Core: registries, their devices and what these are told. No service of Google's.

Named sources: the requests, and what is read of an answer, are those of ClearBlade's own Python
library (clearblade-cloud-iot 2.0.7: config_manager.py, http_client.py, registry.py, devices.py and
their types); fields of answers, statuses of success, config versions, ids and regions are those of
docs.clearblade.com/iotcore (create, delete, getregistrycredentials,
projects-locations-registries-devices-configversions, requirements); the shape of an error is what
its JavaScript library reads (nodejs-iot, iotCoreError.ts).

Inferred, for neither says it: which status and sentence stands for which error (those of Google's
APIs are taken); that a registry with devices cannot be deleted; that an unknown system key is
refused like a wrong token; that the last ten versions of a config are kept, as Google's IoT Core
did.

Not simulated: devices themselves, so nothing is published and no state set; bindings to
gateways, commands.
"""

from __future__ import annotations

from simulator.api.calls import Service
from simulator.api.discovery import CLEARBLADE
from simulator.api.honoured import Table
from simulator.services.clearblade import devices, registries
from simulator.services.clearblade.state import ClearBlade

# Bodies have no schema; what is in them, the handlers check.
HONOURED = Table(CLEARBLADE)

SERVICE = Service(ClearBlade, registries.method, devices.method, HONOURED)
