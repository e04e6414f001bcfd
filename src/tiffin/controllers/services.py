"""Which pods a Service selects and which Services select a pod, by index and never by a look at everything.

A Service without a selector selects nothing. Watches for `pods_of` and `services_of` need the indexes given here.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tiffin.controllers import pods as p
from tiffin.controllers.resources import PODS, SERVICES
from tiffin.machinery.object import Key, Object, controller_of, dig, is_deleting, key_of, labels_of, namespace_of, uid_of
from tiffin.runtime.controller import View

SERVICE_NAME = "kubernetes.io/service-name"
HEADLESS = "service.kubernetes.io/headless"
FEW = 200
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"


def label_index(pod: Object) -> Iterator[str]:
    """The index "label" of pods: every label with its namespace."""
    namespace = namespace_of(pod)
    return (f"{namespace}/{label}={value}" for label, value in labels_of(pod).items())


def selector_index(service: Object) -> Iterable[str]:
    """The index "selector" of Services: one label that all its pods have."""
    selector = dig(service, "spec", "selector")
    if not selector:
        return ()
    label = min(selector)
    return (f"{namespace_of(service)}/{label}={selector[label]}",)


def slice_index(each: Object) -> Iterable[str]:
    """The index "service" of EndpointSlices: the Service they name."""
    name = labels_of(each).get(SERVICE_NAME)
    return (f"{namespace_of(each)}/{name}",) if name else ()


def pods_of(service: Object, view: View) -> Sequence[Object]:
    """The pods a Service selects, by name."""
    selector = dig(service, "spec", "selector")
    if not selector:
        return ()
    namespace = namespace_of(service)
    candidates: Sequence[Object] | None = None
    for label, value in selector.items():
        found = view.by_index(PODS, "label", f"{namespace}/{label}={value}")
        if candidates is None or len(found) < len(candidates):
            candidates = found
        if len(candidates) <= FEW:  # a label that many others have need not be looked at
            break
    return sorted((pod for pod in candidates or () if selector.items() <= labels_of(pod).items()), key=key_of)


def services_of(pod: Object, view: View) -> Iterator[Object]:
    """The Services that select a pod."""
    labels = labels_of(pod).items()
    for value in label_index(pod):
        for service in view.by_index(SERVICES, "selector", value):
            if service["spec"]["selector"].items() <= labels:
                yield service


def selects(service: Object) -> bool:
    """Whether its endpoints follow its pods; those of others are written by whoever made the Service."""
    return bool(dig(service, "spec", "selector")) and dig(service, "spec", "type") != "ExternalName"


def is_headless(service: Object) -> bool:
    """A Service without an address of its own."""
    return dig(service, "spec", "clusterIP", default="") in ("", "None")


def endpoint_facts(pod: Object) -> tuple[object, ...]:
    """All that endpoints depend on; what else changes in a pod concerns no Service."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    ready = p.condition(pod, "Ready") or {}
    return (
        labels_of(pod), status.get("podIPs"), status.get("podIP"), ready.get("status"), is_deleting(pod), p.is_finished(pod),
        spec.get("nodeName"), spec.get("hostname"), spec.get("subdomain"),
    )  # fmt: skip


def endpoints_differ(old: Object, new: Object) -> bool:
    """`Watch.changed` of pods."""
    return endpoint_facts(old) != endpoint_facts(new)


def service_differs(old: Object, new: Object) -> bool:
    """`Watch.changed` of Services: the status makes no endpoints."""
    return old.get("spec") != new.get("spec") or labels_of(old) != labels_of(new) or uid_of(old) != uid_of(new)


def may_have_endpoints(pod: Object, *, terminating: bool) -> bool:
    """Whether a pod has an address that can still answer. `terminating`: also those being deleted."""
    status = pod.get("status") or {}
    has_address = bool(status.get("podIP") or status.get("podIPs"))
    return has_address and not p.is_finished(pod) and (terminating or not is_deleting(pod))


def addresses(pod: Object, family: str) -> list[str]:
    """The pod's addresses of a family, IPv4 or IPv6."""
    status = pod.get("status") or {}
    known = [entry.get("ip") for entry in status.get("podIPs") or ()] or [status.get("podIP")]
    return [ip for ip in known if ip and (":" in ip) == (family == "IPv6")]


def hostname(pod: Object, service: Object) -> str:
    """The name a pod has under its Service's, "" where it has none: its subdomain must be the Service."""
    spec = pod.get("spec") or {}
    return spec.get("hostname") or "" if spec.get("subdomain") == service["metadata"]["name"] else ""


def target_port(pod: Object, port: Object) -> int | None:
    """The number of a service port's target in this pod; None where the pod has no port of that name."""
    target = port.get("targetPort") or port.get("port")
    if isinstance(target, int):
        return target
    protocol = port.get("protocol") or "TCP"
    spec = pod.get("spec") or {}
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in (*(spec.get("containers") or ()), *sidecars):
        for declared in container.get("ports") or ():
            if declared.get("name") == target and (declared.get("protocol") or "TCP") == protocol:
                number: int = declared["containerPort"]
                return number
    return None


def is_owned(obj: Object, owner: Object) -> bool:
    """Whether `owner`, and not an older object of its name, controls `obj`."""
    reference = controller_of(obj)
    return bool(reference) and reference is not None and reference.get("uid") == uid_of(owner)


def service_key(obj: Object) -> Iterable[Key]:
    """The Service that an EndpointSlice names."""
    name = labels_of(obj).get(SERVICE_NAME)
    return (Key(namespace_of(obj), name),) if name else ()
