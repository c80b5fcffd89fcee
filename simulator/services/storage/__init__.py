"""Cloud Storage, JSON API v1.

Shapes: http-logs/storage-bucket*.log; error texts: gcp-facts/02_errors.md, and Google's reference
for the rest. Access is uniform: object ACLs are not simulated, so a bucket without uniform access
answers by its IAM policy alone. `fields.py` lists what is acted on.
"""

from simulator.api.calls import Service
from simulator.services.storage import buckets, fields, objects, uploads
from simulator.services.storage.state import Storage

SERVICE = Service(Storage, buckets.method, objects.method, uploads.method, fields.HONOURED)
