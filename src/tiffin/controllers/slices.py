"""Spreading endpoints over EndpointSlices so that a change touches as few of them as can be.

Rules
* Slices of one address type with the same ports form a group; every endpoint of the group is in exactly one of them.
* An endpoint that is in a slice stays in it. What goes leaves a hole; what comes fills slices that change anyway, the fullest
  first, then one unchanged slice it fits into as a whole, and only then new slices.
* A slice that would be deleted while another is created becomes that other one.
* A Service without endpoints has one empty slice of each address type, so that readers can tell "none" from "not known".

Source: KEP-752 and Kubernetes' reconciler, as documented and observed.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tiffin.machinery.object import Object

Endpoint = dict[str, Any]
Port = dict[str, Any]
Identity = tuple[Any, ...]
"""What tells one endpoint from another: addresses, host name, namespace and name of its pod."""
Ports = tuple[tuple[Any, ...], ...]
"""The ports of a slice in a canonical form."""


@dataclass(slots=True)
class Group:
    """The endpoints that share these ports."""

    ports: list[Port]
    endpoints: dict[Identity, Endpoint] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Content:
    """What a slice holds."""

    ports: list[Port]
    endpoints: list[Endpoint]


@dataclass(slots=True)
class Packing:
    """What is to become of the slices: contents of new ones, new contents of old ones, those to delete, those left alone."""

    create: list[Content] = field(default_factory=list)
    update: list[tuple[Object, Content]] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    keep: list[Object] = field(default_factory=list)


def identity(endpoint: Endpoint) -> Identity:
    reference = endpoint.get("targetRef") or {}
    return (*endpoint.get("addresses", ()), None, endpoint.get("hostname"), reference.get("namespace"), reference.get("name"))


def canonical(ports: Sequence[Port] | None) -> Ports:
    return tuple(sorted((port.get("name") or "", port.get("protocol") or "TCP", port.get("port") or 0, port.get("appProtocol") or "") for port in ports or ()))


def pack(slices: Sequence[Object], groups: Mapping[Ports, Group], limit: int, *, placeholder: bool = True) -> Packing:
    """How `slices`, all of one address type, come to hold exactly `groups`, with at most `limit` endpoints each."""
    packing = Packing()
    by_ports: dict[Ports, list[Object]] = {}
    for each in slices:
        by_ports.setdefault(canonical(each.get("ports")), []).append(each)
    for ports, group in groups.items():
        _pack_group(packing, by_ports.pop(ports, []), group, limit)
    packing.delete += [each for unwanted in by_ports.values() for each in unwanted]
    if placeholder and not (packing.create or packing.update or packing.keep):
        _keep_placeholder(packing)
    _reuse(packing)
    return packing


def _pack_group(packing: Packing, slices: Sequence[Object], group: Group, limit: int) -> None:
    missing = dict(group.endpoints)
    changed: list[tuple[Object, list[Endpoint]]] = []
    unchanged: list[Object] = []
    for each in slices:
        before = each.get("endpoints") or []
        after = [missing.pop(known) for endpoint in before if (known := identity(endpoint)) in missing]
        if not after:
            packing.delete.append(each)
        elif after == before:
            unchanged.append(each)
        else:
            changed.append((each, after))
    rest = list(missing.values())
    for _, endpoints in sorted(changed, key=lambda entry: -len(entry[1])):
        _move(rest, endpoints, limit)
    if rest and (roomy := _roomy(unchanged, len(rest), limit)) is not None:
        unchanged.remove(roomy)
        changed.append((roomy, [*roomy["endpoints"], *rest]))
        rest = []
    while rest:
        fresh: list[Endpoint] = []
        _move(rest, fresh, limit)
        packing.create.append(Content(group.ports, fresh))
    packing.update += [(each, Content(group.ports, endpoints)) for each, endpoints in changed]
    packing.keep += unchanged


def _move(source: list[Endpoint], target: list[Endpoint], limit: int) -> None:
    room = max(0, limit - len(target))
    target += source[:room]
    del source[:room]


def _roomy(slices: Sequence[Object], count: int, limit: int) -> Object | None:
    """The fullest slice with room for that many more endpoints."""
    fitting = [each for each in slices if len(each["endpoints"]) + count <= limit]
    return max(fitting, key=lambda each: len(each["endpoints"]), default=None)


def _keep_placeholder(packing: Packing) -> None:
    if len(packing.delete) == 1 and not packing.delete[0].get("endpoints") and not packing.delete[0].get("ports"):
        packing.keep.append(packing.delete.pop())
    else:
        packing.create.append(Content([], []))


def _reuse(packing: Packing) -> None:
    while packing.delete and packing.create:
        packing.update.append((packing.delete.pop(0), packing.create.pop()))
