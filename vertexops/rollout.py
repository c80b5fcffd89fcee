"""ModelRollout: the whole set of models on an endpoint, with their traffic.

Order of work: judge the canaries whose share is to grow, deploy what is missing without touching
traffic, change what can change in place, move all traffic at once, undeploy the rest. Until traffic
moves, the endpoint answers as before.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from pulumi_plugin.kinds import (
    Change,
    Context,
    Failure,
    Kind,
    PartialFailure,
    ProviderError,
    Resource,
)
from pulumi_plugin.values import UNKNOWN, Props, changed_keys
from vertexops import forms, guarding, machines
from vertexops.deployed import (
    MUTABLE,
    NOT_DECLARED,
    NOT_DELETED,
    Run,
    attachments,
    bears_our_id,
    defaults,
    deploy_times,
    free_id,
    from_google,
    in_the_way,
    match,
    own_ids,
    rolled_out,
    to_google,
    to_inputs,
    to_outputs,
)
from vertexops.errors import GoogleError, Json, explain
from vertexops.google import Google
from vertexops.guarding import rfc3339
from vertexops.schema import (
    CPU_UTILIZATION,
    DUTY_CYCLE,
    MODEL_ROLLOUT,
    PACKAGE,
    REQUEST_COUNT,
)
from vertexops.waiting import Clock, Operations, Waiting

DEADLINE = 1800
NOTHING_TO_DO = frozenset({"deadlineSeconds", "canaries", "canaryGuard"})
"""Inputs that change nothing on the endpoint."""
RANGES = {
    "traffic": (0, 100),
    "minReplicas": (1, math.inf),
    "requiredReplicas": (1, math.inf),
    "acceleratorCount": (1, math.inf),
}
# docs vertex-ai/docs/predictions/autoscaling; the discovery document knows percentages only.
TARGETS = {CPU_UTILIZATION: (1, 100), DUTY_CYCLE: (1, 100), REQUEST_COUNT: (1, math.inf)}
ELSEWHERE = (
    "is in {where}, the endpoint in {region}: register the model in {region} (Google documents "
    "that they may differ, but deployments across regions are reported to fail, so they are "
    "refused)"
)


class Endpoints(Operations, Protocol):
    """What is used of `Vertex`."""

    def endpoint(self, name: str) -> Json: ...
    def deploy(self, endpoint: str, model: Json) -> str: ...
    def mutate(self, endpoint: str, model: Json, mask: str) -> str: ...
    def undeploy(self, endpoint: str, id: str) -> str: ...
    def set_traffic(self, endpoint: str, split: dict[str, int]) -> None: ...


class ModelRollout(Kind):
    def __init__(self, google: Google, clock: Clock) -> None:
        self.google, self.clock = google, clock

    def check(
        self, inputs: Props, old_inputs: Props, context: Context
    ) -> tuple[Props, list[Failure]]:
        inputs, failures = PACKAGE.check(MODEL_ROLLOUT, inputs)
        endpoint, models = inputs.get("endpoint"), inputs.get("models")
        malformed = forms.ENDPOINT.check(endpoint, "endpoint")
        failures += malformed
        deadline = inputs.get("deadlineSeconds")
        if isinstance(deadline, int) and deadline <= 0:
            failures.append(Failure("deadlineSeconds", f"is {deadline}, not above 0"))
        failures += guarding.check(inputs)
        if isinstance(models, list):
            known = isinstance(endpoint, str) and not malformed
            region = forms.ENDPOINT.parse(str(endpoint))["location"] if known else ""
            failures += check_models(models, region)
        return inputs, failures

    def diff(self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props) -> Change:
        changed = set(changed_keys(old_inputs, inputs)) - NOTHING_TO_DO
        updates: set[str] = changed - {"endpoint", "models"}
        if "models" in changed:
            updates |= models_changed(old_inputs.get("models", []), inputs["models"])
        replaces = ("endpoint",) if "endpoint" in changed else ()
        return Change(tuple(sorted(updates)), replaces, stables=("endpoint",))

    def preview(self, inputs: Props, old_outputs: Props | None) -> Props:
        return inputs | dict.fromkeys(("deployedModels", "trafficSplit", "rolledOut"), UNKNOWN)

    def create(self, inputs: Props, context: Context) -> tuple[str, Props]:
        return inputs["endpoint"], self._reconcile(inputs, {}, {}, context, creating=True)

    def update(
        self, id: str, old_inputs: Props, old_outputs: Props, inputs: Props, context: Context
    ) -> Props:
        return self._reconcile(inputs, old_inputs, old_outputs, context, creating=False)

    def read(self, id: str, inputs: Props, outputs: Props, context: Context) -> Resource | None:
        waiting = Waiting(context, DEADLINE, self.clock)
        try:
            endpoint = waiting.call(self._endpoints(id).endpoint, id)
        except ValueError as error:
            raise ProviderError(f"the id {error}") from error
        except GoogleError as error:
            if error.code == 404:
                return None
            raise explain(error, f"reading {id}", self.google) from error
        found = from_google(id, endpoint)
        if not found and not inputs:
            return None
        own = own_ids(id, inputs, outputs) if inputs else set(found)
        inputs = to_inputs(id, inputs, found)
        running = {key: outputs[key] for key in ("runningOperation",) if key in outputs}
        present = to_outputs(id, inputs, found, own)
        told = rolled_out(present["deployedModels"], deploy_times(endpoint), outputs)
        return Resource(id, inputs, present | told | attachments(endpoint) | running)

    def delete(self, id: str, inputs: Props, outputs: Props, context: Context) -> None:
        """Only what this rollout deployed goes; without traffic first, or it is refused.

        Its endpoint goes next, which it could not with models of others on it: those are named
        before anything is taken off, or go too where `adoptForeign` says so.
        """
        work = Work(self._endpoints(id), id, Waiting(context, self._deadline(inputs), self.clock))
        own = own_ids(id, inputs, outputs)
        try:
            if operation := outputs.get("runningOperation"):
                own.add(work.settle(operation))
            found = work.look()
            if found.keys() - own and not inputs.get("adoptForeign"):
                raise ProviderError(in_the_way(id, found, own, NOT_DELETED))
            if any(there["traffic"] for there in found.values()):
                work.step = f"taking the traffic from {id}"
                work.waiting.call(work.service.set_traffic, id, {})
            for deployed in sorted(found):
                work.undeploy(deployed)
        except GoogleError as error:
            if error.code != 404:
                raise explain(error, work.step, self.google) from error

    def _endpoints(self, endpoint: str) -> Endpoints:
        return self.google.vertex(forms.ENDPOINT.parse(endpoint)["location"])

    def _deadline(self, inputs: Props) -> float:
        return float(inputs.get("deadlineSeconds", DEADLINE))

    def _demand_ours(self, inputs: Props, old_outputs: Props, found: dict[str, Props]) -> None:
        """Raises ProviderError over models that somebody else deployed, and that are not declared.

        What an earlier run left behind is known by its id.
        """
        name = inputs["endpoint"]
        own = own_ids(name, inputs, old_outputs) | {
            *(id for _, id in match(name, inputs["models"], found)),
            *(id for id, there in found.items() if bears_our_id(name, id, there)),
        }
        if found.keys() - own:
            raise ProviderError(in_the_way(name, found, own, NOT_DECLARED))

    def _reconcile(
        self, inputs: Props, old_inputs: Props, old_outputs: Props, context: Context, creating: bool
    ) -> Props:
        name = inputs["endpoint"]
        waiting = Waiting(context, self._deadline(inputs), self.clock)
        work = Work(self._endpoints(name), name, waiting)
        before: dict[str, Props] = {}
        try:
            before = work.look()
            if not inputs.get("adoptForeign"):
                self._demand_ours(inputs, old_outputs, before)
            self._judge(work, inputs, old_inputs, before)
            work.reconcile(inputs["models"], before)
            found = work.look()
            outputs = to_outputs(name, inputs, found, set(found))
            return outputs | self._told(work, outputs, old_outputs)
        except (GoogleError, ProviderError) as error:
            problem = (
                explain(error, work.step, self.google, work.asked)
                if isinstance(error, GoogleError)
                else error
            )
            try:
                found = work.look()
            except (GoogleError, ProviderError):
                raise problem from error
            done = [id for _, id in match(name, inputs["models"], found) if id]
            if found != before or work.running or (creating and done):
                own = own_ids(name, inputs, old_outputs) | set(done)
                present = to_inputs(name, inputs, found)
                outputs = to_outputs(name, present, found, own)
                outputs |= self._told(work, outputs, old_outputs)
                if work.running:
                    outputs["runningOperation"] = work.running
                raise PartialFailure(name, outputs, present, str(problem)) from error
            raise problem from error

    def _judge(self, work: Work, inputs: Props, old_inputs: Props, found: dict[str, Props]) -> None:
        """Raises ProviderError for a canary that must not have what it is to get."""
        grown = guarding.growing(inputs, old_inputs, found)
        stopped = [said for said in (guarding.too_early(it, inputs) for it in grown) if said]
        grown = [it for it in grown if it.before]
        if grown and not stopped:
            context = work.waiting.context
            work.step = f"measuring the canaries of {inputs['endpoint']}"
            figures = guarding.measured(
                lambda url: work.waiting.call(self.google.request, "GET", url),
                inputs["endpoint"],
                guarding.limits(inputs)["windowMinutes"],
                self.clock.today(),
            )
            for it in grown:
                canary, predecessor = (
                    guarding.of_version(version, found, figures)
                    for version in (it.canary, it.predecessor)
                )
                verdict = guarding.judge(it, canary, predecessor, inputs)
                if verdict.stops:
                    stopped.append(verdict.said)
                elif verdict.doubtful:
                    context.warn(verdict.said)
                else:
                    context.status(verdict.said)
        if stopped:
            raise ProviderError("\n".join([*stopped, guarding.AS_IT_WAS]))

    def _told(self, work: Work, outputs: Props, old_outputs: Props) -> Props:
        """What is on the endpoint, since when and by whom, after a run over it."""
        ran = Run(work.deployed, work.moved, rfc3339(self.clock.today()), self.google.who)
        told = rolled_out(outputs["deployedModels"], work.times, old_outputs, ran)
        return told | work.attachments


class Work:
    """One run over one endpoint.

    `step` says what is being done, `asked` what quota it needs, `running` the operation that goes
    on without anyone waiting for it any more. `deployed` and `moved` say what it did, `times` when
    what is there was deployed.
    """

    def __init__(self, service: Endpoints, endpoint: str, waiting: Waiting) -> None:
        self.service, self.endpoint, self.waiting = service, endpoint, waiting
        self.step = f"reading {endpoint}"
        self.asked = ""
        self.running = ""
        self.deployed: set[str] = set()
        self.moved = False
        self.times: dict[str, str] = {}
        self.attachments: Props = {}

    def look(self) -> dict[str, Props]:
        endpoint = self.waiting.call(self.service.endpoint, self.endpoint)
        self.times, self.attachments = deploy_times(endpoint), attachments(endpoint)
        return from_google(self.endpoint, endpoint)

    def reconcile(self, models: list[Props], found: dict[str, Props]) -> None:
        there = machines.charged_for(found.values())
        new = [model for model, id in match(self.endpoint, models, found) if not id]
        self.say_what_it_needs(new, there)
        for model in new:
            self.asked = asked(model) + (f", beside {_sum(there)} that are there" if there else "")
            self.deploy(free_id(self.endpoint, model, found), model)
        # Read again: an adopted deployment of an earlier run may differ in what can change.
        found = self.look()
        pairs = match(self.endpoint, models, found)
        for model, id in pairs:
            if not id:
                raise ProviderError(f"{model['model']} was taken off {self.endpoint} meanwhile")
            full = defaults(model) | model
            changed = [key for key in MUTABLE if full[key] != found[id][key]]
            if changed:
                self.asked = asked(model)
                self.mutate(id, model, changed)
        split = {id: model["traffic"] for model, id in pairs if model["traffic"]}
        if split != {id: there["traffic"] for id, there in found.items() if there["traffic"]}:
            self.step = f"moving the traffic of {self.endpoint}"
            self.waiting.context.status(self.step)
            self.waiting.call(self.service.set_traffic, self.endpoint, split)
            self.moved = True
        for id in sorted(found.keys() - {id for _, id in pairs}):
            self.undeploy(id)

    def say_what_it_needs(self, new: list[Props], there: Counter[str]) -> None:
        """What runs beside what until traffic has moved. Google may have given a project more
        than every one has."""
        region = forms.ENDPOINT.parse(self.endpoint)["location"]
        said = [
            f"{number} {name} beside {there[name]} that are there"
            + (f", {usual} for every project in {region}" if usual is not None else "")
            for name, number in machines.charged_for(new).items()
            for usual in [machines.default_quota(name, region)]
        ]
        if said:
            self.waiting.context.status("until traffic has moved: " + "; ".join(said))

    def deploy(self, id: str, model: Props) -> None:
        self.step = f"deploying {model['model']} on {self.endpoint}"
        body = to_google(id, model)
        while True:
            try:
                self.finish(self.service.deploy, self.endpoint, body)
                self.deployed.add(id)
                return
            except GoogleError as error:
                if id in self.look():
                    return
                # An earlier run's operation may still be at work under this id.
                if error.status != "ALREADY_EXISTS" or not self.waiting.pause():
                    raise

    def mutate(self, id: str, model: Props, changed: list[str]) -> None:
        self.step = f"changing {', '.join(changed)} of {model['model']} on {self.endpoint}"
        mask = ",".join(MUTABLE[key] for key in changed)
        self.finish(self.service.mutate, self.endpoint, to_google(id, model), mask)

    def undeploy(self, id: str) -> None:
        self.step = f"undeploying {id} from {self.endpoint}"
        try:
            self.finish(self.service.undeploy, self.endpoint, id)
        except GoogleError as error:
            if error.code != 404:
                raise

    def finish(self, start: Callable[..., str], *args: Any) -> Json:
        """The response of an operation, noted as running until its end is known."""

        def begin() -> str:
            self.running = start(*args)
            return self.running

        try:
            response = self.waiting.whole(self.service, self.step, begin)
        except GoogleError:
            self.running = ""
            raise
        self.running = ""
        return response

    def settle(self, operation: str) -> str:
        """Wait for the end of an earlier run's operation: the id of what it deployed, or ''."""
        self.step = f"waiting for {operation}"
        self.running = operation
        try:
            response = self.waiting.operation(self.service, operation, self.step)
        except GoogleError:
            response = {}
        self.running = ""
        return str(response.get("deployedModel", {}).get("id", ""))


def asked(model: Props) -> str:
    """The machines of a model, for all the replicas that quotas are charged for."""
    full, gpus = defaults(model) | model, machines.gpus_of(model)
    each = f" with {gpus} each" if gpus.count else ""
    return f"{full['maxReplicas']} replicas of {full['machineType']}{each}"


def _sum(charged: Counter[str]) -> str:
    return " and ".join(f"{number} {name}" for name, number in charged.items())


def check_models(models: list[Any], region: str) -> list[Failure]:
    """Everything wrong with the models of a rollout; what is unknown is left for later."""
    failures: list[Failure] = []
    first: dict[str, int] = {}
    for i, model in enumerate(models):
        if not isinstance(model, dict):
            continue
        at, name = f"models[{i}]", model.get("model")
        failures += forms.ACCOUNT.check(model.get("serviceAccount"), f"{at}.serviceAccount")
        for key, allowed in RANGES.items():
            failures += forms.within(model.get(key), allowed, f"{at}.{key}")
        failures += _check_machine(model, at)
        failures += _check_targets(model, at)
        fewest, many = model.get("minReplicas", 1), model.get("maxReplicas")
        if isinstance(fewest, int) and isinstance(many, int) and many < fewest:
            failures.append(Failure(f"{at}.maxReplicas", f"is {many}, below minReplicas, {fewest}"))
        required = model.get("requiredReplicas")
        if isinstance(fewest, int) and isinstance(required, int) and required > fewest:
            failures.append(
                Failure(f"{at}.requiredReplicas", f"is {required}, above minReplicas, {fewest}")
            )
        if not isinstance(name, str):
            continue
        if malformed := forms.VERSION.check(name, f"{at}.model"):
            failures += malformed
            continue
        if first.setdefault(name, i) != i:
            failures.append(Failure(f"{at}.model", f"is the same as models[{first[name]}].model"))
        where = forms.VERSION.parse(name)["location"]
        if region and where != region:
            failures.append(Failure(f"{at}.model", ELSEWHERE.format(where=where, region=region)))
    shares = [
        model["traffic"] for model in models if isinstance(model, dict) and "traffic" in model
    ]
    known = len(shares) == len(models) and all(isinstance(share, int) for share in shares)
    if known and sum(shares) != 100:
        failures.append(Failure("models", f"have {sum(shares)} % of the traffic, not 100"))
    return failures


def _check_machine(model: Props, at: str) -> list[Failure]:
    """Whether accelerators fit, as far as the machine and they are known."""
    machine, type = model.get("machineType"), model.get("acceleratorType", "")
    count = model.get("acceleratorCount", 0)
    if not isinstance(machine, str) or machine not in machines.CPUS:
        return []
    if not isinstance(type, str) or not isinstance(count, int):
        return []
    if count and not type:
        return [Failure(f"{at}.acceleratorCount", "is for models with an acceleratorType")]
    try:
        machines.fit(machine, type, count)
    except ValueError as error:
        return [Failure(f"{at}.acceleratorType", f"does not fit: {error}")]
    if type and not count:
        return [Failure(f"{at}.acceleratorCount", f"has to be said of {type}")]
    return []


def _check_targets(model: Props, at: str) -> list[Failure]:
    targets = model.get("autoscaling")
    if not isinstance(targets, dict):
        return []
    failures = []
    if not targets:
        failures.append(Failure(f"{at}.autoscaling", f"names no metric: {', '.join(TARGETS)}"))
    for metric, target in targets.items():
        where = f"{at}.autoscaling.{metric}"
        if metric not in TARGETS:
            failures.append(Failure(where, f"is none of {', '.join(TARGETS)}"))
        elif metric == DUTY_CYCLE and not machines.gpus_of(model).type:
            failures.append(Failure(where, "is for models with an acceleratorType"))
        else:
            failures += forms.within(target, TARGETS[metric], where)
    return failures


def models_changed(old: list[Any], new: Any) -> set[str]:
    """Paths of what differs between two lists of models; their order means nothing."""
    if new is UNKNOWN or len(old) != len(new):
        return {"models"}
    rest = list(old)
    paths: set[str] = set()
    for i, model in enumerate(new):
        if model is UNKNOWN:
            paths.add(f"models[{i}]")
        elif same := next((m for m in rest if not model_changed(m, model)), None):
            rest.remove(same)
        else:
            before = next((m for m in old if m["model"] == model["model"]), old[i])
            paths |= {f"models[{i}].{key}" for key in model_changed(before, model)}
    return paths


def model_changed(old: Props, new: Props) -> set[str]:
    """What differs once defaults are filled in; a display name not given is any."""
    keys = set(changed_keys(defaults(old) | old, defaults(new) | new))
    return keys if "displayName" in new else keys - {"displayName"}
