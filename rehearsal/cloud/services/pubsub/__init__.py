"""Pub/Sub v1: topics, subscriptions, schemas and the messages between them.

Permissions: docs pubsub/access-control, "Required permissions", unless a comment says inferred.
Shapes, defaults and the 404: http-logs/pubsub-*.log. The 409, the invalid name, the update mask and
the exactly-once failure are Google's words as public repositories recorded them; other error texts
are ours.

Not simulated, and answered with 501: snapshots and seek, JavaScript transforms, export to Cloud
Storage and Bigtable, ingestion, customer-managed keys. Push endpoints are outside the simulator and
never called: what a push subscription gets stays pending until it is turned into a pulled one,
detached or expired. Exports keep no order of their own, and regions of tables and endpoints are not
compared. Answers are consistent at once, which Google's are not (a GET after a PUT can be a 404).
"""

from rehearsal.cloud.services.pubsub import delivery, schemas, subscriptions, topics
from rehearsal.cloud.services.pubsub.state import PubSub

__all__ = ["PubSub", "delivery", "schemas", "subscriptions", "topics"]
