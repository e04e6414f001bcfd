"""Which endpoints a node uses: readiness, termination, hints, families, ports."""
from __future__ import annotations

from typing import Any

import pytest

from tests.proxy.builders import HERE, NODE, THERE, endpoint, slice_of
from tiffin.proxy.endpoints import Target, choose, endpoints, refused_addresses
from tiffin.proxy.state import NodeView

A, B, C = "10.244.1.2", "10.244.2.2", "10.244.2.3"


def chosen(*made: dict[str, Any], node: NodeView = NODE) -> tuple[list[str], list[str], bool]:
    found = choose(endpoints([slice_of("web", *made)], "IPv4", "", "TCP", node.name), node)
    return [target.ip for target in found.everywhere], [target.ip for target in found.here], found.exists


@pytest.mark.parametrize(
    "made, everywhere, here",
    [
        ([], [], []),
        ([endpoint(A, HERE), endpoint(B)], [A, B], [A]),
        ([endpoint(A, HERE, ready=False), endpoint(B)], [B], []),
        ([endpoint(A, HERE, ready=False, serving=False)], [], []),
        # Still serving while it terminates counts when nothing is ready, for each list by itself.
        ([endpoint(A, HERE, ready=False, serving=True, terminating=True), endpoint(B)], [B], [A]),
        ([endpoint(A, HERE, ready=False, serving=True, terminating=True)], [A], [A]),
        ([endpoint(A, HERE, ready=False, serving=False, terminating=True)], [], []),
        # Hints by zone: all ready ones must have them, and one must be for us.
        ([endpoint(A, zones=("zone-a",)), endpoint(B, zones=("zone-b",))], [A], []),
        ([endpoint(A, zones=("zone-a",)), endpoint(B)], [A, B], []),
        ([endpoint(A, zones=("zone-c",)), endpoint(B, zones=("zone-b",))], [A, B], []),
        ([endpoint(A, zones=("zone-a",)), endpoint(B, ready=False)], [A], []),
        # Hints by node come first.
        ([endpoint(A, zones=("zone-a",), nodes=(THERE,)), endpoint(B, zones=("zone-b",), nodes=(HERE,))], [B], []),
        ([endpoint(A, zones=("zone-a",), nodes=(THERE,)), endpoint(B, zones=("zone-b",), nodes=(THERE,))], [A], []),
        # This node's own are used by the local policies whatever the hints.
        ([endpoint(A, HERE, zones=("zone-b",)), endpoint(B, zones=("zone-a",))], [B], [A]),
    ],
)
def test_choice(made: list[dict[str, Any]], everywhere: list[str], here: list[str]) -> None:
    assert chosen(*made) == (everywhere, here, bool(everywhere or here))


def test_without_a_zone_of_our_own_hints_by_zone_say_nothing() -> None:
    assert chosen(endpoint(A, zones=("",)), endpoint(B, zones=("zone-b",)), node=NodeView(HERE))[0] == [A, B]


def test_conditions_that_are_absent() -> None:
    assert chosen({"addresses": [A]}, {"addresses": [B], "conditions": None, "hints": None})[0] == [A, B]


def test_ports_protocols_and_families_are_matched() -> None:
    ports: list[dict[str, Any]] = [{"name": "a", "protocol": "TCP", "port": 1}, {"name": "a", "protocol": "UDP", "port": 2}, {"name": "b", "port": 3}, {"name": "none"}]
    slices = [slice_of("web", endpoint(A), ports=ports), slice_of("web", endpoint("fd00::1"), ports=ports, family="IPv6", suffix="six")]

    def found(family: str, name: str, protocol: str) -> list[Target]:
        return [each.target for each in endpoints(slices, family, name, protocol, HERE)]

    assert found("IPv4", "a", "TCP") == [(A, 1)] and found("IPv4", "a", "UDP") == [(A, 2)] and found("IPv4", "b", "TCP") == [(A, 3)]
    assert found("IPv6", "a", "TCP") == [("fd00::1", 1)]
    assert not found("IPv4", "none", "TCP") and not found("IPv4", "", "TCP") and not found("IPv6", "b", "UDP")


def test_one_target_in_two_slices_is_one_and_local_when_either_says_so() -> None:
    slices = [slice_of("web", endpoint(A)), slice_of("web", endpoint(A, HERE), suffix="new"), slice_of("web", endpoint(A), suffix="z")]
    [only] = endpoints(slices, "IPv4", "", "TCP", HERE)
    assert only.local


def test_addresses_no_endpoint_may_have() -> None:
    bad = ["127.0.0.1", "169.254.1.1", "224.0.0.1", "0.0.0.0", "not an address", ""]
    slices = [slice_of("web", *map(endpoint, [*bad, A])), slice_of("web", endpoint("::1"), endpoint("fe80::1"), family="IPv6", suffix="six")]
    assert [address for _, address in refused_addresses(slices)] == [*bad, "::1", "fe80::1"]
    assert [each.target.ip for each in endpoints(slices, "IPv4", "", "TCP", HERE)] == [A]
    assert not list(refused_addresses([slice_of("web", {"addresses": ["example.com"]}, family="FQDN"), {"addressType": "IPv4", "endpoints": None}]))
