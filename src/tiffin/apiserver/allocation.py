"""Cluster addresses and node ports of Services: chosen or checked while a Service is created, given back when it goes.

What is taken is known from the Services and the IPAddress objects, which are written and deleted in one batch with their Service: a crash
leaves both or neither. A request holds what it was given until it is committed, refused, or was a dry run.
"""
from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tiffin.api.core.service_fields import needs_address
from tiffin.api.core.service_validation import address_errors
from tiffin.apiserver.serviceranges import IP_ADDRESSES, ServiceRanges, belongs_to, ip_address_object
from tiffin.machinery import errors
from tiffin.machinery.field import FieldError, invalid
from tiffin.machinery.object import Key, Object, name_of
from tiffin.store.mvcc import Event, EventType
from tiffin.store.store import Store, Write

SERVICES = "services"
NODE_PORTS = range(30000, 32768)


def addresses_of(service: Object) -> list[str]:
    """The cluster addresses a Service holds."""
    spec = service.get("spec") or {}
    ips = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return [ip for ip in ips if ip and ip != "None"]


def ports_of(service: Object) -> list[tuple[int, str]]:
    """The node ports a Service holds, with their protocols; a health check port counts as TCP."""
    spec = service.get("spec") or {}
    found = [(p["nodePort"], p.get("protocol", "TCP")) for p in spec.get("ports") or () if p.get("nodePort")]
    if spec.get("healthCheckNodePort"):
        found.append((spec["healthCheckNodePort"], "TCP"))
    return found


class ServiceAllocator:
    """The hook of the Service resource. `new_uid` names new IPAddress objects."""

    def __init__(self, store: Store, cidr: str, new_uid: Callable[[], str], node_ports: range = NODE_PORTS) -> None:
        self.ranges = ServiceRanges(store, cidr)
        self.node_ports = node_ports
        self._store, self._new_uid = store, new_uid
        self._ips: dict[str, int] = {}
        self._ports: dict[tuple[int, str], int] = {}
        for entry in store.entries(SERVICES):
            self._hold(entry.object, 1)
        _add(self._ips, (entry.key.name for entry in store.entries(IP_ADDRESSES.group_resource)), 1)
        store.watch(SERVICES, store.revision, self._seen)
        store.watch(IP_ADDRESSES.group_resource, store.revision, self._seen_addresses)

    def _hold(self, service: Object, count: int) -> None:
        for table, keys in ((self._ips, addresses_of(service)), (self._ports, ports_of(service))):
            _add(table, keys, count)

    def _seen(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.previous is not None:
                self._hold(event.previous.object, -1)
            if event.type is not EventType.DELETED:
                self._hold(event.entry.object, 1)

    def _seen_addresses(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.previous is None:
                _add(self._ips, [event.entry.key.name], 1)
            elif event.type is EventType.DELETED:
                _add(self._ips, [event.entry.key.name], -1)

    # the hook

    def before_create(self, obj: Object, dry_run: bool) -> Callable[[], None]:
        self._check_fields(obj)
        return self._complete(obj, None)

    def before_update(self, new: Object, old: Object, dry_run: bool) -> Callable[[], None]:
        self._check_fields(new)
        return self._complete(new, old)

    def companions(self, new: Object | None, old: Object | None) -> Sequence[Write]:
        """The IPAddress objects that come and go with a Service's addresses, to be committed together with it."""
        wanted, held = addresses_of(new or {}), addresses_of(old or {})
        writes = [self._address(ip, new) for ip in wanted if new is not None and ip not in held]
        gone = [ip for ip in held if ip not in wanted]
        return writes + [Write(IP_ADDRESSES.group_resource, Key("", ip), None, None) for ip in gone if old is not None and self._is_of(ip, old)]

    def _address(self, ip: str, service: Object) -> Write:
        return Write(IP_ADDRESSES.group_resource, Key("", ip), ip_address_object(ip, service, self._new_uid()), None)

    def _is_of(self, ip: str, service: Object) -> bool:
        entry = self._store.newest(IP_ADDRESSES.group_resource, Key("", ip))
        return entry is not None and belongs_to(entry.object, service)

    @staticmethod
    def _check_fields(service: Object) -> None:
        """What makes an allocation impossible is all that is said of such a Service."""
        found = address_errors(service)
        if found:
            raise errors.invalid("Service", "", name_of(service), found)

    def _complete(self, obj: Object, old: Object | None) -> Callable[[], None]:
        """Gives a Service what it lacks; the answer gives it back, once the watch holds it or the request failed."""
        taken_ips: list[str] = []
        taken_ports: list[tuple[int, str]] = []

        def undo() -> None:
            _add(self._ips, taken_ips, -1)
            _add(self._ports, taken_ports, -1)
            taken_ips.clear()
            taken_ports.clear()

        try:
            self._addresses(obj, old, taken_ips)
            self._node_ports(obj, old, taken_ports)
        except BaseException:
            undo()
            raise
        return undo

    def _addresses(self, obj: Object, old: Object | None, taken: list[str]) -> None:
        spec = obj.get("spec") or {}
        if spec.get("type") == "ExternalName" or spec.get("clusterIP") == "None":
            return
        held = set(addresses_of(old)) if old else set()
        if not spec.get("clusterIP"):
            ip = self._free_ip()
            spec["clusterIP"], spec["clusterIPs"] = ip, [ip]
            _take(self._ips, ip, taken)
            return
        if old is not None and needs_address(old.get("spec") or {}):
            return  # addresses never change; validation says so
        for ip in addresses_of(obj):
            if ip not in held:
                self._check_ip(obj, ip)
                _take(self._ips, ip, taken)

    def _check_ip(self, obj: Object, ip: str) -> None:
        fault = ""
        if not self.ranges.holds(ipaddress.ip_address(ip)):
            fault = "the provided network does not match the current range"
        elif ip in self._ips:
            fault = "provided IP is already allocated"
        if fault:
            raise self._refused(obj, invalid("spec.clusterIPs", [ip], f"failed to allocate IP {ip}: {fault}"))

    @staticmethod
    def _refused(obj: Object, error: FieldError) -> errors.ApiError:
        return errors.invalid("Service", "", name_of(obj), [error])

    def _free_ip(self) -> str:
        ip = self.ranges.free(self._ips)
        if ip is None:
            raise errors.internal_error("failed to allocate a serviceIP: range is full")
        return ip

    def _node_ports(self, obj: Object, old: Object | None, taken: list[tuple[int, str]]) -> None:
        spec = obj.get("spec") or {}
        held = set(ports_of(old)) if old else set()
        self._health_port(obj, spec, held, taken)
        if not self._wants_ports(spec):
            return
        by_number: dict[int, int] = {}
        for index, port in enumerate(spec.get("ports") or ()):
            protocol = port.get("protocol", "TCP")
            if not port.get("nodePort"):
                port["nodePort"] = by_number.get(port.get("port", 0)) or self._free_port(protocol)
                while (port["nodePort"], protocol) in self._ports or (port["nodePort"], protocol) in taken:
                    port["nodePort"] = self._free_port(protocol)
            elif (port["nodePort"], protocol) not in held:
                self._check_port(obj, port["nodePort"], protocol, f"spec.ports[{index}].nodePort")
            if (port["nodePort"], protocol) not in held:
                _take(self._ports, (port["nodePort"], protocol), taken)
            by_number[port.get("port", 0)] = port["nodePort"]

    @staticmethod
    def _wants_ports(spec: Object) -> bool:
        return spec.get("type") == "NodePort" or (spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False)

    def _health_port(self, obj: Object, spec: Object, held: set[tuple[int, str]], taken: list[tuple[int, str]]) -> None:
        if spec.get("type") != "LoadBalancer" or spec.get("externalTrafficPolicy") != "Local":
            return
        port = spec.get("healthCheckNodePort")
        if not port:
            spec["healthCheckNodePort"] = port = self._free_port("TCP")
        elif (port, "TCP") not in held:
            if port not in self.node_ports:
                raise errors.internal_error(f"failed to allocate requested HealthCheck NodePort {port}: {self._out_of_range()}")
            self._check_port(obj, port, "TCP", "spec.healthCheckNodePort")
        if (port, "TCP") not in held:
            _take(self._ports, (port, "TCP"), taken)

    def _out_of_range(self) -> str:
        return f"provided port is not in the valid range. The range of valid ports is {self.node_ports.start}-{self.node_ports.stop - 1}"

    def _check_port(self, obj: Object, port: int, protocol: str, path: str) -> None:
        if port not in self.node_ports:
            raise self._refused(obj, invalid(path, port, self._out_of_range()))
        if (port, protocol) in self._ports:
            raise self._refused(obj, invalid(path, port, "provided port is already allocated"))

    def _free_port(self, protocol: str) -> int:
        size = len(self.node_ports)
        start = int.from_bytes(os.urandom(4), "big") % size
        for step in range(size):
            port = self.node_ports[(start + step) % size]
            if (port, protocol) not in self._ports:
                return port
        raise errors.internal_error("failed to allocate a nodePort: range is full")


def _add(table: dict[Any, int], keys: Iterable[Any], count: int) -> None:
    for key in keys:
        total = table.get(key, 0) + count
        if total > 0:
            table[key] = total
        else:
            table.pop(key, None)


def _take(table: dict[Any, int], key: Any, taken: list[Any]) -> None:
    _add(table, [key], 1)
    taken.append(key)
