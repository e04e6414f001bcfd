"""discovery.k8s.io/v1beta1, 1.16 to 1.24: the zone and the node of an endpoint stood in a map, `topology`.

v1 has fields for those two and keeps the rest of the map as `deprecatedTopology`.
"""
from __future__ import annotations

from typing import Any

from tiffin.api.legacy.definitions import Package
from tiffin.api.legacy.retired import Retired, changed, every
from tiffin.machinery.object import Object

_ZONE, _HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
_V1BETA1 = Package(
    "discovery.v1beta1", "discovery.k8s.io", "v1beta1", "discovery.v1", ("EndpointSlice",),
    {"Endpoint": {"deprecatedTopology": None, "zone": None, "topology": "{s"}},
    texts={"Endpoint": {"topology": "Where the endpoint is: its node (kubernetes.io/hostname), zone (topology.kubernetes.io/zone) and the like."}})


def _new_endpoint(old: dict[str, Any]) -> dict[str, Any]:
    new = {key: value for key, value in old.items() if key != "topology"}
    topology = dict(old.get("topology") or {})
    if _ZONE in topology:
        new["zone"] = topology.pop(_ZONE)
    if topology.get(_HOST) is not None and topology[_HOST] == old.get("nodeName"):
        del topology[_HOST]
    return {**new, "deprecatedTopology": topology} if topology else new


def _old_endpoint(new: dict[str, Any]) -> dict[str, Any]:
    old = {key: value for key, value in new.items() if key not in ("deprecatedTopology", "zone")}
    topology = dict(new.get("deprecatedTopology") or {})
    for key, field in ((_ZONE, "zone"), (_HOST, "nodeName")):
        if new.get(field) is not None:
            topology[key] = new[field]
    return {**old, "topology": topology} if topology else old


def _to_v1(obj: Object) -> Object:
    return changed(obj, ("endpoints",), every(_new_endpoint))


def _from_v1(obj: Object) -> Object:
    return changed(obj, ("endpoints",), every(_old_endpoint))


PACKAGES = (_V1BETA1,)
VERSIONS = (Retired("endpointslices.discovery.k8s.io", _V1BETA1, "1.21", "1.25", from_stored=_from_v1, to_stored=_to_v1),)
