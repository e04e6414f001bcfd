"""Ranges: never overlapping, kept for ever, given back when a cluster has gone."""
from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.cluster.addresses import NoFreeRange, Ranges, choose, release, reserve

networks = st.builds(lambda a, b, c, size: str(IPv4Network((f"10.{a}.{b}.{c}", size), strict=False)), *[st.integers(0, 255)] * 3, st.integers(9, 32))


def test_first_cluster_has_the_customary_pod_range() -> None:
    ranges = choose([])
    assert ranges == Ranges("10.199.0.0/24", "10.244.0.0/16")
    assert (ranges.gateway, ranges.node(1), ranges.node(2)) == ("10.199.0.1", "10.199.0.2", "10.199.0.3")


@given(st.lists(networks, max_size=8))
def test_a_choice_overlaps_nothing_that_is_routed(taken: list[str]) -> None:
    try:
        ranges = choose(taken)
    except NoFreeRange:
        return
    for own in ranges:
        assert not any(IPv4Network(own).overlaps(IPv4Network(other)) for other in taken)


def test_nothing_free_is_said() -> None:
    with pytest.raises(NoFreeRange):
        choose(["10.0.0.0/8"])


def test_clusters_side_by_side(tmp_path: Path) -> None:
    registry = tmp_path / "registry" / "networks.json"
    places = [tmp_path / name for name in ("a", "b", "c")]
    for place in places:
        place.mkdir()
    first = [reserve(registry, place, []) for place in places]
    assert len(set(first)) == 3
    assert [reserve(registry, place, ["10.244.0.0/16"]) for place in places] == first, "a cluster keeps its ranges, whatever is routed"
    release(registry, places[1])
    assert reserve(registry, places[1], []) == first[1]
    for place in places:
        release(registry, place)
    assert not registry.exists()


def test_a_cluster_whose_data_has_gone_gives_its_ranges_back(tmp_path: Path) -> None:
    registry = tmp_path / "networks.json"
    gone, new = tmp_path / "gone", tmp_path / "new"
    gone.mkdir()
    new.mkdir()
    ranges = reserve(registry, gone, [])
    gone.rmdir()
    assert reserve(registry, new, []) == ranges
