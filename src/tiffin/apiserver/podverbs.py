"""What can be asked of a pod beside changing it: binding it to a node, evicting it.

Source: API reference, Binding v1 and Eviction policy/v1; KEP-85 (eviction and disruption budgets).
"""
from __future__ import annotations

from typing import Any

import orjson

from tiffin.api.kind import Subresource
from tiffin.apiserver import bodies
from tiffin.apiserver.admission.noderestriction import check_eviction
from tiffin.apiserver.context import RequestContext
from tiffin.apiserver.deletion import DeleteOptions
from tiffin.apiserver.negotiate import negotiate
from tiffin.apiserver.options import read_options
from tiffin.apiserver.registry import Served
from tiffin.apiserver.render import respond
from tiffin.apiserver.stored import StoreReader
from tiffin.apiserver.writes import Writes, uid_conflict
from tiffin.machinery import errors
from tiffin.machinery.field import FieldError, not_supported, required
from tiffin.machinery.object import Key, Object, Resource, dig, key_of, labels_of
from tiffin.machinery.selectors import from_label_selector
from tiffin.machinery.timestamps import format_time
from tiffin.net.http import Request, Response

PODS = Resource("", "v1", "pods")
BUDGETS = Resource("policy", "v1", "poddisruptionbudgets")
BINDING = ("", "v1", "Binding")
MAX_DISRUPTED = 2000
SUCCESS: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


class PodVerbs:
    """The handlers of pods/binding, bindings and pods/eviction."""

    def __init__(self, writes: Writes, served_pods: Served, served_budgets: Served) -> None:
        self.writes, self.pods, self.budgets = writes, served_pods, served_budgets

    # binding

    async def binding(self, context: RequestContext, served: Served, sub: Subresource, request: Request) -> Response:
        form = negotiate(context.headers.get("accept", ""))
        read_options(context, "CreateOptions")
        obj = bodies.read_typed(context, request.body, BINDING, "io.k8s.api.core.v1.Binding")
        return respond(await self._bind(context, obj, context.info.name), form, 201)

    async def bindings(self, context: RequestContext, served: Served, obj: Object) -> Object:
        """The create of a Binding; its name is the pod's."""
        name = dig(obj, "metadata", "name", default="")
        if not name:
            raise errors.bad_request("Name parameter required.")
        return await self._bind(context, obj, name)

    async def _bind(self, context: RequestContext, binding: Object, name: str) -> Object:
        given = dig(binding, "metadata", "name")
        if given and given != name:
            raise errors.bad_request("name in URL does not match name in Binding object")
        self._check(binding, binding.get("target") or {})
        await self.writes.admission.both(context, "CREATE", self.pods, self.pods.kind.subresource_by_name["binding"], binding)
        metadata = binding.get("metadata") or {}
        node, uid = binding["target"]["name"], metadata.get("uid")

        def assign(old: Object) -> Object:
            self._may_bind(self.pods, old, name, uid)
            new: Object = orjson.loads(orjson.dumps(old))
            new["spec"]["nodeName"] = node
            if metadata.get("annotations"):
                new["metadata"].setdefault("annotations", {}).update(metadata["annotations"])
            if metadata.get("labels"):
                new["metadata"].setdefault("labels", {}).update(metadata["labels"])
            _set_scheduled(new, format_time(context.now))
            new["metadata"].pop("resourceVersion", None)
            return new

        sub = Subresource("binding", updates_object=True)
        await self.writes.update(context, self.pods, Key(context.info.namespace, name), assign, subresource=sub, applied=True, admitted=True)  # nobody owns a node name
        return SUCCESS

    @staticmethod
    def _check(binding: Object, target: dict[str, Any]) -> None:
        found: list[FieldError] = []
        if target.get("kind") and target["kind"] != "Node":
            found.append(not_supported("target.kind", target["kind"], ["Node", "<empty>"]))
        if not target.get("name"):
            found.append(required("target.name"))
        if found:
            listed = ", ".join(map(str, found))
            raise errors.ApiError(500, "", f"[{listed}]" if len(found) > 1 else listed)

    @staticmethod
    def _may_bind(served: Served, pod: Object, name: str, uid: str | None) -> None:
        def conflict(message: str) -> errors.ApiError:
            return errors.conflict("pods/binding", name, message)

        if uid and uid != pod["metadata"].get("uid"):
            raise uid_conflict(served, key_of(pod), uid, pod["metadata"].get("uid") or "")
        if pod["metadata"].get("deletionTimestamp"):
            raise conflict(f"pod {name} is being deleted, cannot be assigned to a host")
        if pod["spec"].get("nodeName"):
            raise conflict(f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"')
        if pod["spec"].get("schedulingGates"):
            raise conflict(f"pod {name} has non-empty .spec.schedulingGates")

    # eviction

    async def eviction(self, context: RequestContext, served: Served, sub: Subresource, request: Request) -> Response:
        form = negotiate(context.headers.get("accept", ""))
        read_options(context, "CreateOptions")
        body, _ = bodies.parse_body(context, request.body, False, "Eviction")
        if isinstance(body, dict) and body.get("apiVersion") == "policy/v1beta1":
            body["apiVersion"] = "policy/v1"
        context.field_validation = "Ignore"
        eviction = bodies.as_typed(context, body, [], ("policy", "v1", "Eviction"), "io.k8s.api.policy.v1.Eviction", request.body)
        given = dig(eviction, "metadata", "name")
        if given and given != context.info.name:
            raise errors.bad_request("name in URL does not match name in Eviction object")
        check_eviction(StoreReader(self.writes.store), context.user, context.info.namespace, context.info.name)
        options = DeleteOptions.from_object(eviction.get("deleteOptions") or {})
        context.dry_run = context.dry_run or options.dry_run
        await self.writes.admission.both(context, "CREATE", served, sub, eviction)
        await self._evict(context, Key(context.info.namespace, context.info.name), options)
        return respond(SUCCESS, form, 201)

    async def _evict(self, context: RequestContext, key: Key, options: DeleteOptions) -> None:
        entry = self.writes.store.newest(self.pods.storage, key)
        if entry is None:
            raise errors.not_found(self.pods.group_resource, key.name)
        pod = entry.object
        if _unguarded(pod):
            await self.writes.delete(context, self.pods, key, options, admitted=True)
            return
        budgets = [e for e in self.writes.store.entries(self.budgets.storage, key.namespace) if _covers(e.object, pod)]
        if len(budgets) > 1:
            raise errors.ApiError(500, "", "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")
        if budgets and not (dig(budgets[0].object, "spec", "unhealthyPodEvictionPolicy") == "AlwaysAllow" and not _is_ready(pod)):
            await self._spend(context, budgets[0].key, pod)
        await self.writes.delete(context, self.pods, key, options, admitted=True)

    async def _spend(self, context: RequestContext, budget: Key, pod: Object) -> None:
        """Takes one disruption from the budget, or raises 429."""

        def spend(old: Object) -> Object:
            _may_disrupt(old, pod)
            new: Object = orjson.loads(orjson.dumps(old))
            status = new["status"]
            if status.get("disruptionsAllowed", 0) > 0:
                status["disruptionsAllowed"] -= 1
                status.setdefault("disruptedPods", {})[pod["metadata"]["name"]] = format_time(context.now)
            return new

        sub = self.budgets.kind.subresource_by_name["status"]
        await self.writes.update(context, self.budgets, budget, spend, subresource=sub, attempts=0)


def _set_scheduled(pod: Object, now: str) -> None:
    status = pod.setdefault("status", {})
    conditions = [c for c in status.get("conditions") or () if c.get("type") != "PodScheduled"]
    condition = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
    status["conditions"] = [*conditions, condition]


def _unguarded(pod: Object) -> bool:
    """Budgets guard only pods that run and are not going already."""
    phase = dig(pod, "status", "phase", default="")
    return phase in ("Succeeded", "Failed", "Pending") or bool(pod["metadata"].get("deletionTimestamp"))


def _covers(budget: Object, pod: Object) -> bool:
    selector = dig(budget, "spec", "selector")
    return selector is not None and from_label_selector(selector).matches(labels_of(pod))


def _is_ready(pod: Object) -> bool:
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in dig(pod, "status", "conditions", default=[]))


def _may_disrupt(budget: Object, pod: Object) -> None:
    name = budget["metadata"]["name"]
    status = budget.get("status") or {}
    refusal = "Cannot evict pod as it would violate the pod's disruption budget."
    if (status.get("observedGeneration") or 0) < (budget["metadata"].get("generation") or 0):
        raise errors.too_many_requests(refusal, 10, {"causes": [{
            "reason": "DisruptionBudget", "message": f"The disruption budget {name} is still being processed by the server."}]})
    if not _is_ready(pod) and dig(budget, "spec", "unhealthyPodEvictionPolicy", default="IfHealthyBudget") == "IfHealthyBudget":
        if status.get("currentHealthy", 0) >= status.get("desiredHealthy", 0) and status.get("desiredHealthy", 0) > 0:
            return
    if status.get("disruptionsAllowed", 0) < 0:
        raise errors.forbidden("poddisruptionbudget.policy", name, "pdb disruptions allowed is negative")
    if len(status.get("disruptedPods") or ()) > MAX_DISRUPTED:
        raise errors.forbidden("poddisruptionbudget.policy", name, "DisruptedPods map too big - too many evictions not confirmed by PDB controller")
    if status.get("disruptionsAllowed", 0) == 0:
        raise errors.too_many_requests(refusal, 0, {"causes": [{
            "reason": "DisruptionBudget",
            "message": f"The disruption budget {name} needs {status.get('desiredHealthy', 0)} healthy pods and has {status.get('currentHealthy', 0)} currently"}]})

