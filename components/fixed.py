"""Settings that a running stack cannot change, or whose change its callers have to follow.

All others change in place, or what they are about is replaced: the new one works before the old one
goes. `tests/rehearsal/test_every_setting.py` changes each of them once.
"""

from __future__ import annotations

from typing import Final

from components import permissions
from components.settings import Settings
from vertexops.sdk import SettingArgs

NEW_STACK: Final = (
    'All of it was made there. Make a new stack in a project of its own (README, "Add an '
    'environment"), move the callers, then destroy this one. Where nothing serves yet, destroy '
    "this one and start again."
)
OTHER_LAYER: Final = (
    "What another stack is to declare would be deleted. Move it to that stack's state first: "
    "docs/how-to/two-layers.md has the commands."
)
ADDRESS: Final = (
    "Google would refuse calls to the present address at once. Change endpointId too: then the new "
    "endpoint serves before the old one goes."
)
OTHER_KEY: Final = (
    "An endpoint keeps the key that it was made with. Change endpointId too: then the new "
    "endpoint, with new versions of the models, serves before the old one goes."
)
OTHER_NETWORKS: Final = (
    "How an endpoint is reached is chosen when it is made. Change endpointId too, to one that no "
    "private endpoint had in the last 7 days: then the new endpoint serves before the old one goes."
)
PROTECTED: Final = (
    "Callers would have to follow at once, and the stack is protected: set protect to false and "
    "run `pulumi up` first, or make a new stack, move the callers, then destroy this one."
)
PROTECTED_BUCKET: Final = (
    "The artifact bucket would go, and is protected: set protect to false and run `pulumi up` "
    "first."
)
PROTECTED_LOG: Final = (
    "What was logged would go, and is protected: set protect to false and run `pulumi up` first."
)
PROTECTED_BACKLOG: Final = (
    "The subscriptions would go with what they have not delivered, and are protected: set protect "
    "to false and run `pulumi up` first."
)
PROTECTED_REGISTRY: Final = (
    "The registry would go with the keys of its devices, and is protected: set protect to false "
    "and run `pulumi up` first."
)
OTHER_SENSORS: Final = (
    "Readings of both kinds cannot be in one table. Make a new stack for the other sensors, or "
    "destroy this one and start again."
)
WATCHED: Final = (
    "Google changes no request log while drift is watched: set drift to {} and run `pulumi up` "
    "first."
)
NO_RETIRE: Final = (
    "What is there now could not be deleted: add retire to deployerMay, give the platform the role "
    "that goes with it (README), and run `pulumi up` first."
)
UPLOADS: Final = (
    "The deployer could not delete what it uploaded ({}): look these models up with `source` and "
    "run `pulumi up` first."
)
FOLLOW_ENDPOINT: Final = (
    "Callers have to follow: the old endpoint goes at the end of this `pulumi up`, when the new "
    "one serves."
)
FOLLOW_ACCOUNTS: Final = (
    "Whoever runs as one of the old accounts has to follow: they go at the end of this "
    "`pulumi up`, when the new ones may do their work."
)
FOLLOW_POOL: Final = (
    "Workflows have to follow: the providers have other names, and the old pool goes at the end of "
    "this `pulumi up`. Its id cannot be used again for 30 days."
)
LOG: Final = "What was logged so far goes with its dataset."
BUCKET: Final = "The artifact bucket goes, with all that training stored in it."


def watched(settings: Settings) -> list[SettingArgs]:
    """What the next `pulumi up` is held to: these settings, and what to do instead of a change."""
    s = settings
    uploads = ", ".join(model.id for model in s.models if model.uploaded)
    source, reviewed = " and ".join(sorted({*s.source_buckets.values()})), s.preview_member
    images = " and ".join(sorted({it.project for it in s.repositories}))
    pulled = f"pulled from {images}" if images else ""
    pool = s.pool_id if s.federation else ""
    registers = permissions.REGISTER in s.deployer_may
    dedicated = str(s.dedicated_endpoint).lower()
    unretired = "" if permissions.RETIRE in s.deployer_may else NO_RETIRE
    protected, kept = (PROTECTED, PROTECTED_BUCKET) if s.protect else ("", "")
    logged = PROTECTED_LOG if s.protect else ""
    order, backlog = str(s.order_by_device).lower(), PROTECTED_BACKLOG if s.protect else ""
    registered = f"{s.device_registry.registry or ''} in {s.registry_region}"
    registered = registered if s.device_registry.kind != "none" else ""
    kept_registry = PROTECTED_REGISTRY if s.protect and registered else ""
    bucket = (UPLOADS.format(uploads) if uploads else "", kept, unretired) if registers else ()
    return [
        # A rollout is there to be moved to; what is moved takes along what it was.
        *([_watch("layer", s.layer, OTHER_LAYER)] if s.founds else []),
        _watch("project", s.project, NEW_STACK),
        _watch("region", s.region, NEW_STACK),
        _watch("dedicatedEndpoint", dedicated, ADDRESS, of=s.endpoint_id),
        _watch("privateProjects", ", ".join(s.allowlist), OTHER_NETWORKS, of=s.endpoint_id),
        _watch("kmsKey", s.kms_key or "", OTHER_KEY, of=s.endpoint_id),
        _watch("endpointId", s.endpoint_id, protected, unretired, mind=FOLLOW_ENDPOINT),
        _watch("accountPrefix", s.account_prefix, protected, unretired, mind=FOLLOW_ACCOUNTS),
        _watch("rolePrefix", s.role_prefix, unretired),
        _watch("namePrefix", s.name_prefix, NEW_STACK),
        _watch("requestLog.dataset", s.log_dataset, logged, mind=LOG),
        # Of the next ones it is what they have that cannot be left.
        _watch("previewMember", "somebody" if reviewed else "", unretired if reviewed else ""),
        _watch("federation", "on" if pool else "", unretired if pool else ""),
        *([_watch("federation.pool", pool, unretired, mind=FOLLOW_POOL)] if pool else []),
        _watch("drift", "watched" if s.drift else "", unretired if s.drift else ""),
        _watch("requestLogPercent", str(s.request_log_percent), WATCHED if s.drift else ""),
        *([_watch("orderByDevice", order, backlog, unretired)] if s.sensors else []),
        _watch("deviceRegistry", registered, kept_registry),
        _watch("sensors", ", ".join(s.sensors), OTHER_SENSORS if s.sensors else ""),
        _watch("alerts", "watched" if s.alerts.told else "", unretired if s.alerts.told else ""),
        *([_watch("alerts.topic", s.alerts.topic, unretired)] if s.alerts.topic else []),
        _watch("models", f"looked up in {source}" if source else "", unretired if source else ""),
        _watch("container", pulled, unretired if pulled else ""),
        _watch(
            "deployerMay",
            "register" if registers else "",
            *bucket,
            mind=BUCKET if registers else "",
        ),
    ]


def _watch(name: str, value: str, *instead: str, of: str = "", mind: str = "") -> SettingArgs:
    """A setting that all there is of `instead` fixes; otherwise there may be something to mind."""
    fixed = " ".join(filter(None, instead))
    return SettingArgs(
        name=name,
        value=value,
        of=of or None,
        instead=fixed or None,
        mind=mind if mind and not fixed else None,
    )
