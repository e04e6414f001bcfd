"""What makes which service dirty."""
from __future__ import annotations

from tests.proxy.builders import HERE, endpoint, service, slice_of
from tiffin.machinery.object import Key, Object
from tiffin.proxy.state import NodeView, State

WEB = Key("default", "web")


def labelled(obj: Object, **labels: str) -> Object:
    return obj | {"metadata": obj["metadata"] | {"labels": {**(obj["metadata"].get("labels") or {}), **{key.replace("__", "/").replace("_", "-"): value for key, value in labels.items()}}}}


def test_a_slice_touches_one_service() -> None:
    state = State(HERE)
    for name in ("web", "other"):
        state.service_changed(None, service(name))
    assert set(state.take_dirty()) == {WEB, Key("default", "other")}
    state.slice_changed(None, slice_of("web", endpoint("10.244.1.2")))
    assert state.is_dirty and list(state.take_dirty()) == [WEB] and not state.is_dirty


def test_a_slice_that_moves_touches_both_services() -> None:
    state = State(HERE)
    old, new = slice_of("web", suffix="x"), slice_of("other", suffix="x")
    new["metadata"]["name"] = old["metadata"]["name"]
    state.slice_changed(None, old)
    state.take_dirty()
    state.slice_changed(old, new)
    assert set(state.take_dirty()) == {WEB, Key("default", "other")}
    assert not state.slices(WEB) and state.slices(Key("default", "other")) == [new]
    state.slice_changed(new, None)
    assert not state.slices(Key("default", "other"))


def test_services_that_are_not_ours() -> None:
    state = State(HERE)
    state.take_dirty()
    for made in (service(ip="None"), service(type="ExternalName"), service(ip=""), labelled(service(), **{"service.kubernetes.io__service_proxy_name": "x"}), {"metadata": {"name": "web"}}):
        state.service_changed(None, made)
        assert not state.services and not state.is_dirty
    for key in ("service.kubernetes.io__headless", "service.kubernetes.io__service_proxy_name"):
        state.slice_changed(None, labelled(slice_of("web"), **{key: ""}))
    state.slice_changed(None, {"metadata": {"namespace": "default", "name": "nobody's"}})
    assert not state.is_dirty


def test_a_service_that_stops_being_ours() -> None:
    state = State(HERE)
    state.service_changed(None, service())
    state.take_dirty()
    state.service_changed(service(), service(type="ExternalName"))
    assert WEB not in state.services and list(state.take_dirty()) == [WEB]


def test_what_matters_of_the_node() -> None:
    state = State(HERE)
    state.service_changed(None, service())
    state.take_dirty()
    node = {"metadata": {"labels": {"topology.kubernetes.io/zone": "z"}}, "spec": {"podCIDR": "10.244.1.0/24"}}
    assert state.node_changed(node) and list(state.take_dirty()) == [WEB]
    assert state.node == NodeView(HERE, "z", ("10.244.1.0/24",))
    assert not state.node_changed(node | {"status": {"conditions": []}}) and not state.is_dirty
    assert state.node_changed(node | {"spec": {"podCIDRs": ["10.244.1.0/24", "fd00::/64"]}})
