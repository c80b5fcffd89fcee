"""Every request of the official plugin, as it was recorded, against the whole simulated cloud.

The recorder took anything in any order: it set the policy of a subscription that was not there
yet, and read the policy of one that was gone. Here a request that the cloud refuses waits until
others of its command have gone before it, the order that the plugin takes where its resources
depend on each other; policies go first when things are deleted. Requests are sent as they are but
for what the cloud itself chose: etags of policies, and the ids of what has no name of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from simulator.core.clock import Clock
from simulator.core.delays import Delays
from simulator.core.principal import Principal
from simulator.google import GoogleCloud
from simulator.identity.tokens import Identity
from simulator.seed import plant
from simulator.serve.dispatch import Dispatcher, Request
from simulator.services.bigquery.state import BigQuery
from tests.recordings import COMMANDS, CONTRACT, DEPLOYER, PLATFORM, Exchange, before, load

# The recorded subscription writes metadata into a table that has no columns for it, which Google
# refuses (docs pubsub/bigquery); they are added behind the plugin's back.
METADATA_COLUMNS = (
    {"name": "subscription_name", "type": "STRING"},
    {"name": "message_id", "type": "STRING"},
    {"name": "publish_time", "type": "TIMESTAMP"},
    {"name": "attributes", "type": "JSON"},
)

OBJECT = re.compile(r"(/storage/v1/b/[^/]+)/o/.*")
# Field -> why an answer has another value in it than the recorder's.
INVENTED = {
    **dict.fromkeys(("createTime", "updateTime", "creationTime", "lastModifiedTime"), "times"),
    **dict.fromkeys(("timeCreated", "updated", "effectiveTime", "validAfterTime"), "times"),
    **dict.fromkeys(("etag", "metageneration", "generation"), "revisions"),
    **dict.fromkeys(("uniqueId", "oauth2ClientId", "id", "sub", "uid"), "ids"),
    **dict.fromkeys(("md5Hash", "crc32c", "selfLink", "mediaLink"), "of what was stored"),
    **dict.fromkeys(("accessToken", "expireTime", "privateKeyData", "publicKeyData"), "secrets"),
    "email": "who the runner is",
    "state": "resources that have none, or others",
    "version": "3 even for policies without conditions",
    "privateKeyType": "shown once, when a key is made",
    "contentType": "of the upload's own part",
    "writerIdentity": "of a project of the recorder's",
    "type": "a view is called a table, an SLO a service",
    "access": "a dataset without the entries every dataset has, and legacy role names",
    "defaultTableExpirationMs": "a number where Google has text",
    "nextRotationTime": "times",
    "rotationPeriod": "still there after it was cleared",
    "primary": "no key version",
}
# Path -> why the whole answer is not compared.
NOT_COMPARED = {
    r"/regions$": "the recorder knows two",
    r"/compute/beta/projects/": "the recorder answers with its regions",
    r"/services$": "the recorder lists what was asked for",
    r":queryTestablePermissions$": "the recorder knows two",
    r"/projects/iot-prod:[gs]etIamPolicy$": "the recorder knows no agent's grants",
    r"/anywhereCaches/$": "the recorder answers 404 to an empty list",
}


def new_cloud(folder: str) -> GoogleCloud:
    cloud = GoogleCloud(clock=Clock(running=False, start=1_767_225_600), delays=Delays(0, 0, 0))
    plant(cloud, before(folder))
    return cloud


class Replay:
    def __init__(self, cloud: GoogleCloud) -> None:
        self.cloud, self._dispatcher = cloud, Dispatcher(cloud)
        self._principals = {
            # Org Policy takes no token of a person that has no project.
            "platform": Principal(f"user:{PLATFORM}", user_project="iot-prod"),
            "deployer (impersonated)": Principal(f"serviceAccount:{DEPLOYER}"),
        }
        self._etags: dict[str, str] = {}
        # what the recorder named -> what the cloud named
        self._ids: dict[str, str] = {}
        self.differences: dict[str, None] = {}

    def run(self, exchanges: list[Exchange]) -> int:
        """The number of exchanges, each answered with its recorded status in the end."""
        waiting = exchanges
        while waiting:
            refused: dict[str, Exchange] = {}
            later = []
            for exchange in waiting:
                status, answer = self._send(exchange)
                if _accepted(exchange, status):
                    self._learn(exchange, answer)
                    self._compare(exchange, answer)
                else:
                    later.append(exchange)
                    where = f"{exchange['method']} {exchange['path']}"
                    refused[f"{where}: {status} {answer}"] = exchange
            if len(later) == len(waiting):
                raise AssertionError("\n".join(refused))
            waiting = later
        return len(exchanges)

    def _send(self, exchange: Exchange) -> tuple[int, Any]:
        path, body = self._renamed(exchange["path"]), exchange["body"]
        if isinstance(body, dict):
            body = json.loads(self._renamed(json.dumps(body)))
            policy, place = body.get("policy", body), path.partition(":set")[0]
            if "etag" in policy and place in self._etags:
                policy["etag"] = self._etags[place]
            body = json.dumps(body)
        token, _ = self.cloud[Identity].issue(self._principals[exchange["as"]])
        headers = {"authorization": f"Bearer {token}"}
        if exchange["content_type"]:
            headers["content-type"] = exchange["content_type"]
        request = Request(
            exchange["host"],
            exchange["method"],
            path,
            urlencode(exchange["query"]),
            headers,
            (body or "").encode(),
        )
        answer = self._dispatcher.handle(request)
        return answer.status, json.loads(answer.body or b"{}")

    def _renamed(self, text: str) -> str:
        for there, here in self._ids.items():
            text = text.replace(there, here)
        return text

    def _learn(self, exchange: Exchange, answer: dict[str, Any]) -> None:
        path, method = self._renamed(exchange["path"]), exchange["method"]
        if "etag" in answer:
            self._etags[re.sub(r":[gs]etIamPolicy$", "", path)] = answer["etag"]
        there, here = str(exchange["response"].get("name")), str(answer.get("name"))
        if method == "POST" and "operations" not in here + there:
            before, now = there.rpartition("/")[2], here.rpartition("/")[2]
            if before != now:
                self._ids[f"/{before}"] = f"/{now}"
        if method == "POST" and path.endswith("/datasets/telemetry/tables"):
            name = (
                f"projects/iot-prod/datasets/telemetry/tables/{answer['tableReference']['tableId']}"
            )
            fields = self.cloud[BigQuery].table(name).info.get("schema", {}).get("fields", [])
            if [field["name"] for field in fields] == ["data"]:
                fields += METADATA_COLUMNS

        if method == "DELETE" and (found := OBJECT.fullmatch(path)):
            self._purge(found[1])

    def _purge(self, bucket: str) -> None:
        """The recorder kept no old versions, so it was never asked to delete the one there is."""
        lister: Exchange = {
            **{"method": "GET", "host": "storage.googleapis.com", "path": f"{bucket}/o"},
            **{"query": {"versions": "true"}, "as": "platform", "body": None, "content_type": ""},
        }
        for item in self._send(lister)[1].get("items", ()):
            path = f"{bucket}/o/{quote(item['name'], safe='')}"
            query = {"generation": item["generation"]}
            self._send({**lister, "method": "DELETE", "path": path, "query": query})

    def _compare(self, exchange: Exchange, answer: dict[str, Any]) -> None:
        """What was recorded is what the plugin accepted: it has to be in the answer as well."""
        if exchange["status"] != 200 or any(re.search(p, exchange["path"]) for p in NOT_COMPARED):
            return
        if "operations/" in str(exchange["response"].get("name")):
            return
        expected = json.loads(self._renamed(json.dumps(exchange["response"])))
        where = f"{exchange['method']} {exchange['path']}"
        for what in _missing(expected, answer):
            self.differences[f"{where} {what}"] = None


def _accepted(exchange: Exchange, status: int) -> bool:
    """The recorder says 200 where some APIs say 204, and knows no list of caches."""
    if exchange["status"] == 200 or exchange["path"].endswith("/anywhereCaches/"):
        return status in (200, 204)
    return bool(status == exchange["status"])


def _missing(expected: Any, answer: Any, path: str = "") -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(answer, dict | None):
        for name, value in expected.items():
            if name not in INVENTED and value not in (None, [], {}, "", False):
                yield from _missing(value, (answer or {}).get(name), f"{path}.{name}")
    elif isinstance(expected, list) and isinstance(answer, list):
        for index, value in enumerate(expected):
            now = answer[index] if index < len(answer) else None
            yield from _missing(value, now, f"{path}[{index}]")
    elif _by_id(expected) != _by_id(answer):
        yield f"{path}: {answer!r} for {expected!r}"


def _by_id(value: Any) -> Any:
    """Google names the project by its number in some answers; the recorder echoes."""
    if not isinstance(value, str):
        return value
    return re.sub(r"(/|%2F)123456789012(?=/)", r"\1iot-prod", value)


@pytest.mark.parametrize("folder", ["core", "more"])
def test_every_recorded_request_is_answered_as_the_official_plugin_needs(
    folder: str, show: Callable[[str], None]
) -> None:
    cloud = new_cloud(folder)
    at_first = cloud.state()
    replay, count = Replay(cloud), 0
    for command in COMMANDS:
        count += replay.run(list(_exchanges(folder, command)))
    assert not replay.differences, "\n".join(replay.differences)
    assert {"core": 364, "more": 183}[folder] == count
    left = {
        kind: added
        for kind, names in cloud.state().items()
        if kind not in OUTLIVING and (added := sorted(set(names) - set(at_first.get(kind, ()))))
    }
    assert left == {}
    show(f"{folder}: {count} exchanges answered")


# Kinds of which Google keeps something after everything is destroyed.
OUTLIVING = {
    *("services", "serviceAgents", "softDeletedRoles", "softDeletedIdentityPools"),
    *("keyRings", "cryptoKeys"),
    # the recorder knew none, so it was not asked to destroy any
    "cryptoKeyVersions",
}


def _exchanges(folder: str, command: str) -> Iterator[Exchange]:
    exchanges = load(CONTRACT / folder / f"{command}.jsonl")
    if command == "destroy":
        exchanges.sort(key=lambda exchange: not re.search(r"IamPolicy|/iam$", exchange["path"]))
    if command == "up":
        # A program of them makes a key, and a policy that forbids it; at Google that takes minutes.
        exchanges.sort(key=lambda exchange: "denypolicies" in exchange["path"])
    yield from exchanges
