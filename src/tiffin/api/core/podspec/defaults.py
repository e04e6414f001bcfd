"""Defaults of pod specs.

All functions change their argument in place: it was just decoded and belongs to the request. Fields of features that v1.36
leaves switched off (`lifecycle.stopSignal`, `clusterTrustBundle`, `podCertificate`) are dropped here too, silently, as the API does.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiffin.api.core.podspec.images import default_pull_policy
from tiffin.api.core.podspec.resources import container_requests, is_hugepages, is_pod_level_resource
from tiffin.machinery.object import Object
from tiffin.machinery.quantity import QuantityError, add, rounded_to_milli

_MODE = 420
"""0644, the mode of files in volumes."""

_RBD = {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"}
_AZURE_DISK = {"cachingMode": "ReadWrite", "fsType": "ext4", "kind": "Shared"}
_SCALE_IO = {"storageMode": "ThinProvisioned", "fsType": "xfs"}
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def containers_of(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Init, regular and ephemeral containers of a pod spec, in the order in which Kubernetes visits them."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def default_pod(pod: Object) -> None:
    """Defaults of a Pod: those of its spec and what templates do not get (requests from limits, service links, host ports)."""
    spec = pod["spec"] = pod.get("spec") or {}
    default_pod_spec(spec)
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        _requests_from_limits(container.get("resources") or {})
        if spec.get("hostNetwork"):
            for port in container.get("ports") or ():
                if not port.get("hostPort"):
                    port["hostPort"] = port.get("containerPort") or 0
    _default_pod_resources(spec)
    if spec.get("enableServiceLinks") is None:
        spec["enableServiceLinks"] = True


def default_pod_template(template: dict[str, Any] | None) -> None:
    """Defaults of a PodTemplateSpec."""
    if template is not None:
        template.setdefault("metadata", {})
        default_pod_spec(template.setdefault("spec", {}))


def default_pod_spec(spec: dict[str, Any]) -> None:
    """Defaults of a PodSpec, in a pod or in a template."""
    _default_if_empty(spec, "restartPolicy", "Always")
    _default_if_empty(spec, "dnsPolicy", "ClusterFirst")
    _default_if_empty(spec, "schedulerName", "default-scheduler")
    if spec.get("terminationGracePeriodSeconds") is None:
        spec["terminationGracePeriodSeconds"] = 30
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    _mirror_service_account(spec)
    for volume in spec.get("volumes") or ():
        _default_volume(volume)
    for container in containers_of(spec):
        _default_container(container)
    for resources in (spec.get("resources") or {}, {"overhead": spec.get("overhead")}):
        _round_resources(resources)


def _default_if_empty(obj: dict[str, Any], key: str, value: Any) -> None:
    if not obj.get(key):
        obj[key] = value


def _mirror_service_account(spec: dict[str, Any]) -> None:
    """`serviceAccount` is the deprecated name of `serviceAccountName`; both are always served."""
    name = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if name:
        spec["serviceAccountName"] = spec["serviceAccount"] = name


# --- containers ----------------------------------------------------------------------------------------------------------


def _default_container(container: dict[str, Any]) -> None:
    _default_if_empty(container, "imagePullPolicy", default_pull_policy(container.get("image") or ""))
    _default_if_empty(container, "terminationMessagePath", "/dev/termination-log")
    _default_if_empty(container, "terminationMessagePolicy", "File")
    container.setdefault("resources", {})
    _round_resources(container.get("resources") or {})
    for port in container.get("ports") or ():
        _default_if_empty(port, "protocol", "TCP")
    for env in container.get("env") or ():
        _default_field_references(env.get("valueFrom") or {})
    for probe in _PROBES:
        if container.get(probe) is not None:
            _default_probe(container[probe])
    _default_lifecycle(container)


def _default_lifecycle(container: dict[str, Any]) -> None:
    lifecycle = container.get("lifecycle")
    if not lifecycle:
        return
    if "stopSignal" in lifecycle:
        del lifecycle["stopSignal"]
        if not lifecycle:
            del container["lifecycle"]
    for hook in ("postStart", "preStop"):
        _default_handler(lifecycle.get(hook) or {})


def _default_probe(probe: dict[str, Any]) -> None:
    for key, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        _default_if_empty(probe, key, value)
    _default_handler(probe)
    grpc = probe.get("grpc")
    if grpc is not None and grpc.get("service") is None:
        grpc["service"] = ""


def _default_handler(handler: dict[str, Any]) -> None:
    http = handler.get("httpGet")
    if http is not None:
        _default_if_empty(http, "path", "/")
        _default_if_empty(http, "scheme", "HTTP")


def _default_field_references(source: dict[str, Any]) -> None:
    field = source.get("fieldRef")
    if field is not None:
        _default_if_empty(field, "apiVersion", "v1")
    resource = source.get("resourceFieldRef")
    if resource is not None and resource.get("divisor") is None:
        resource["divisor"] = "0"


def _round_resources(resources: dict[str, Any]) -> None:
    for kind in ("limits", "requests", "overhead"):
        quantities: dict[str, Any] = resources.get(kind) or {}
        for name, value in quantities.items():
            try:
                quantities[name] = rounded_to_milli(value)
            except QuantityError:  # decoding has refused what is no quantity; a caller without a decoder gets it back as it was
                continue


def _requests_from_limits(resources: dict[str, Any]) -> None:
    limits = resources.get("limits")
    if limits:
        requests = resources.get("requests") or {}
        resources["requests"] = requests | {name: value for name, value in limits.items() if name not in requests}


def _default_pod_resources(spec: dict[str, Any]) -> None:
    """Requests of the whole pod, where it has limits: from its containers, else from the limits."""
    resources = spec.get("resources")
    if not resources:
        return
    limits = dict(resources.get("limits") or {})
    for container in spec.get("containers") or ():
        for name, value in ((container.get("resources") or {}).get("limits") or {}).items():
            if is_hugepages(name) and name not in (resources.get("limits") or {}):
                limits[name] = add(limits.get(name, "0"), value)
    if not limits:
        return
    resources["limits"] = limits
    requests = dict(resources.get("requests") or {})
    for name, value in container_requests(spec).items():
        if name not in requests and is_pod_level_resource(name) and not is_hugepages(name):
            requests[name] = value
    for name, value in limits.items():
        if name not in requests and is_pod_level_resource(name):
            requests[name] = value
    if requests:
        resources["requests"] = requests


# --- volumes -------------------------------------------------------------------------------------------------------------


def _default_volume(volume: dict[str, Any]) -> None:
    if all(value is None for key, value in volume.items() if key != "name"):
        volume["emptyDir"] = {}
    for kind in ("secret", "configMap", "downwardAPI", "projected"):
        source = volume.get(kind)
        if source is not None:
            if source.get("defaultMode") is None:
                source["defaultMode"] = _MODE
            _default_files(source)
    for projected in (volume.get("projected") or {}).get("sources") or ():
        _default_projection(projected)
    default_remote_volume(volume)
    if volume.get("hostPath") is not None and volume["hostPath"].get("type") is None:
        volume["hostPath"]["type"] = ""
    image = volume.get("image")
    if image is not None:
        _default_if_empty(image, "pullPolicy", default_pull_policy(image.get("reference") or ""))
    claim = ((volume.get("ephemeral") or {}).get("volumeClaimTemplate") or {}).get("spec")
    if claim is not None:
        if claim.get("volumeMode") is None:
            claim["volumeMode"] = "Filesystem"
        _round_resources(claim.get("resources") or {})


def _default_files(source: dict[str, Any]) -> None:
    for item in source.get("items") or ():
        _default_field_references(item)


def _default_projection(source: dict[str, Any]) -> None:
    for switched_off in ("clusterTrustBundle", "podCertificate"):
        source.pop(switched_off, None)
    token = source.get("serviceAccountToken")
    if token is not None and token.get("expirationSeconds") is None:
        token["expirationSeconds"] = 3600
    _default_files(source.get("downwardAPI") or {})


def default_remote_volume(volume: dict[str, Any]) -> None:
    """Defaults of network and cloud sources, in a pod's volume or in a PersistentVolume's spec."""
    for kind, defaults in (("rbd", _RBD), ("azureDisk", _AZURE_DISK), ("scaleIO", _SCALE_IO), ("iscsi", {"iscsiInterface": "default"})):
        source = volume.get(kind)
        if source is not None:
            for key, value in defaults.items():
                _default_if_empty(source, key, value)
    disk = volume.get("azureDisk")
    if disk is not None and disk.get("readOnly") is None:
        disk["readOnly"] = False
