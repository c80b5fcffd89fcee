"""Vertex AI, v1 and v1beta1 over one state: model registry, endpoints, predictions.

Permissions: gcp-facts/01_method_permissions.md; what that file does not know and is inferred here
says so where it is. Error texts: gcp-facts/02_errors.md; where a comment gives no source, Google's
own words are not recorded and the text is ours. Names in answers carry the project's number, as
Google's do.
"""

from simulator.api.calls import Service
from simulator.services.vertex import (
    deployments,
    endpoints,
    fields,
    models,
    monitoringjobs,
    operations,
    pools,
    predictions,
)
from simulator.services.vertex.state import Vertex

SERVICE = Service(
    Vertex,
    deployments.method,
    endpoints.method,
    models.method,
    monitoringjobs.method,
    operations.method,
    pools.method,
    predictions.method,
    fields.HONOURED,
)
