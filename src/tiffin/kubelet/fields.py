"""Values of the downward API: fields and resources of a pod as text, for environments and volumes.

Source: Kubernetes' list of fields available through `fieldRef` and `resourceFieldRef`.
"""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tiffin.machinery import quantity
from tiffin.machinery.object import Object, annotations_of, dig, labels_of, name_of, namespace_of, uid_of

_subscript = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]").fullmatch


class FieldUnknownError(ValueError):
    """A field path that the downward API does not offer."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the node adds to a pod object: addresses as known now, and what the node has to give."""

    pod_ips: Sequence[str] = ()
    host_ips: Sequence[str] = ()
    allocatable: Mapping[str, str] = field(default_factory=dict)


def field_value(pod: Object, path: str, facts: Facts) -> str:
    """The text of one field. Raises FieldUnknownError."""
    if match := _subscript(path):
        return (labels_of(pod) if match[1] == "labels" else annotations_of(pod)).get(match[2], "")
    values = {
        "metadata.name": name_of(pod), "metadata.namespace": namespace_of(pod), "metadata.uid": uid_of(pod),
        "spec.nodeName": dig(pod, "spec", "nodeName", default=""),
        "spec.serviceAccountName": dig(pod, "spec", "serviceAccountName", default=""),
        "status.hostIP": facts.host_ips[0] if facts.host_ips else "", "status.hostIPs": ",".join(facts.host_ips),
        "status.podIP": facts.pod_ips[0] if facts.pod_ips else "", "status.podIPs": ",".join(facts.pod_ips),
    }
    if path in values:
        return values[path]
    if path in ("metadata.labels", "metadata.annotations"):
        return _lines(labels_of(pod) if path.endswith("labels") else annotations_of(pod))
    raise FieldUnknownError(f"unsupported fieldPath: {path}")


def _lines(values: Mapping[str, str]) -> str:
    """Labels or annotations, one a line, values quoted as Go would."""
    return "\n".join(f"{key}={_quoted(values[key])}" for key in sorted(values))


_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"'}


def _quoted(text: str) -> str:
    """Go's `%q`."""
    shown = "".join(_ESCAPES.get(c) or (c if c.isprintable() else _hex(c)) for c in text)
    return f'"{shown}"'


def _hex(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def resource_value(container: Object, reference: Mapping[str, Any], facts: Facts) -> str:
    """A limit or request of a container in units of the reference's divisor, rounded up; absent limits are the node's."""
    kind, _, resource = reference["resource"].partition(".")
    if kind not in ("limits", "requests"):
        raise FieldUnknownError(f"unsupported container resource : {reference['resource']}")
    value = dig(container, "resources", kind, resource)
    if value is None and kind == "limits":
        value = facts.allocatable.get(resource)
    divisor = quantity.as_decimal(reference.get("divisor") or "1") or Decimal(1)
    amount = quantity.as_decimal(value if value is not None else "0") / divisor
    return str(int(amount.to_integral_value("ROUND_CEILING")))
