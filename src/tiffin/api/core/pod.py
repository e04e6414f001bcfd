"""Pod: containers that are scheduled together onto one node.

The rules are in modules beside this one: `podspec/` for the spec, `pod_strategy` for what the API writes, `pod_update` and
`pod_status` for what may change, `pod_printing` for tables, `pod_warnings` for what deserves a word.
"""
from __future__ import annotations

from collections.abc import Callable

from tiffin.api.core.pod_printing import COLUMNS, row, row_conditions
from tiffin.api.core.pod_status import validate_status
from tiffin.api.core.pod_strategy import (
    grace_period,
    prepare_ephemeral_containers,
    prepare_for_create,
    prepare_for_update,
    prepare_resize,
    prepare_status,
)
from tiffin.api.core.pod_update import validate_create, validate_ephemeral_containers, validate_resize, validate_update
from tiffin.api.core.pod_warnings import pod_warnings
from tiffin.api.core.podspec.defaults import default_pod
from tiffin.api.kind import Kind, Subresource
from tiffin.machinery.object import Object, dig

_STREAM = ("create", "get")
_PROXY = ("create", "delete", "get", "patch", "update")


def _text(*path: str) -> Callable[[Object], str]:
    return lambda pod: dig(pod, *path, default="")


def _host_network(pod: Object) -> str:
    return "true" if dig(pod, "spec", "hostNetwork") else "false"


def _addresses(pod: Object) -> str:
    """Every address of the pod, separated by commas."""
    return ",".join(entry.get("ip") or "" for entry in dig(pod, "status", "podIPs", default=()))


KIND = Kind(
    group="",
    version="v1",
    kind="Pod",
    plural="pods",
    schema="io.k8s.api.core.v1.Pod",
    singular="pod",
    short_names=("po",),
    categories=("all",),
    subresources=(
        Subresource("attach", _STREAM, body=("", "v1", "PodAttachOptions")),
        Subresource("binding", ("create",), body=("", "v1", "Binding")),
        Subresource("ephemeralcontainers", updates_object=True, prepare=prepare_ephemeral_containers, validate=validate_ephemeral_containers),
        Subresource("eviction", ("create",), body=("policy", "v1", "Eviction")),
        Subresource("exec", _STREAM, body=("", "v1", "PodExecOptions")),
        Subresource("log", ("get",)),
        Subresource("portforward", _STREAM, body=("", "v1", "PodPortForwardOptions")),
        Subresource("proxy", _PROXY, body=("", "v1", "PodProxyOptions")),
        Subresource("resize", updates_object=True, prepare=prepare_resize, validate=validate_resize),
        Subresource("status", updates_object=True, prepare=prepare_status, validate=validate_status,
                    resets=(("spec",), ("metadata", "deletionTimestamp"), ("metadata", "ownerReferences"))),
    ),
    grace_period=grace_period,
    returns_deleted=True,
    default=default_pod,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    validate=validate_create,
    validate_update=validate_update,
    warnings=pod_warnings,
    columns=COLUMNS,
    row=row,
    row_conditions=row_conditions,
    field_selectors={
        "spec.nodeName": _text("spec", "nodeName"),
        "spec.host": _text("spec", "nodeName"),  # its name before v1
        "spec.restartPolicy": _text("spec", "restartPolicy"),
        "spec.schedulerName": _text("spec", "schedulerName"),
        "spec.serviceAccountName": _text("spec", "serviceAccountName"),
        "spec.hostNetwork": _host_network,
        "status.phase": _text("status", "phase"),
        "status.podIP": _text("status", "podIP"),
        "status.podIPs": _addresses,
        "status.nominatedNodeName": _text("status", "nominatedNodeName"),
    },
)
