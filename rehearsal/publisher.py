"""Publish messages with Google's own client, as a device's program would.

python -m rehearsal.publisher TOPIC < messages.jsonl      {"data": TEXT, "key": ORDERING KEY} a line

The access token is in `PUBLISHER_TOKEN`; proxy and certificates are in the environment.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from typing import Any, Final

from google.oauth2.credentials import Credentials
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.types import PubsubMessage

BATCH: Final = 500
"""Messages in one request; Pub/Sub takes up to 1,000."""


def main(topic: str) -> None:
    credentials: Any = Credentials  # has no types
    client = PublisherClient(
        credentials=credentials(os.environ["PUBLISHER_TOKEN"]), transport="rest"
    )
    by_key: defaultdict[str, list[PubsubMessage]] = defaultdict(list)
    for line in sys.stdin:
        data, key = map(json.loads(line).__getitem__, ("data", "key"))
        by_key[key].append(PubsubMessage(data=data.encode(), ordering_key=key))
    count = 0
    # All messages of a request have one ordering key.
    for messages in by_key.values():
        for start in range(0, len(messages), BATCH):
            batch = messages[start : start + BATCH]
            count += len(client.publish(topic=topic, messages=batch).message_ids)
    print(count)


if __name__ == "__main__":
    main(sys.argv[1])
