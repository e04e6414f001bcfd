"""Managed fields and server-side apply, as stories of several managers."""
from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.machinery.decode import decode_object
from tiffin.machinery.errors import ApiError
from tiffin.machinery.lastapplied import LAST_APPLIED
from tiffin.machinery.managedfields import ApplyConflict, apply, ignore_times, parent_entries, scale_entries, update_managers
from tiffin.machinery.schema import definition

CONFIG_MAP, DEPLOYMENT = definition("io.k8s.api.core.v1.ConfigMap"), definition("io.k8s.api.apps.v1.Deployment")
POD_TEMPLATE, SERVICE = definition("io.k8s.api.core.v1.PodTemplate"), definition("io.k8s.api.core.v1.Service")
Object = dict[str, Any]


def at(second: int) -> str:
    return f"2020-01-01T00:00:{second:02}Z"


def config_map(data: Any = None, **metadata: Any) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"} | metadata} | ({} if data is None else {"data": data})


def written(new: Object, old: Object | None, manager: str, second: int = 0, type: Any = CONFIG_MAP, **more: Any) -> Object:
    new = copy.deepcopy(new)
    decode_object(new, type)
    update_managers(new, old, type, manager=manager, api_version="v1", subresource="", now=at(second), **more)
    return new


def applied(live: Object | None, body: Object, manager: str, second: int = 0, force: bool = False, type: Any = CONFIG_MAP, **more: Any) -> Object:
    before = copy.deepcopy((live, body))
    result = copy.deepcopy(apply(live, body, type, manager=manager, force=force, api_version=body["apiVersion"], subresource="", now=at(second), **more))
    assert (live, body) == before
    decode_object(result, type)
    return result


def entries(obj: Object) -> list[tuple[str, str, str | None, Object]]:
    return [(e["manager"], e["operation"], e.get("time"), e["fieldsV1"]) for e in obj["metadata"].get("managedFields", [])]


def test_create_owns_everything_it_sets() -> None:
    obj = written(config_map({"k": "v"}, labels={"x": "y"}, uid="u", generation=3), None, "m")
    assert obj["metadata"]["managedFields"] == [{
        "manager": "m", "operation": "Update", "apiVersion": "v1", "time": at(0), "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {".": {}, "f:k": {}}, "f:metadata": {"f:labels": {".": {}, "f:x": {}}}}}]


def test_create_of_a_struct_that_is_always_written_does_not_own_the_struct() -> None:
    body = {"metadata": {"name": "d"}, "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "protocol": "TCP"}]}]}}}}
    assert entries(written(body, None, "m", type=DEPLOYMENT))[0][3] == {"f:spec": {
        "f:replicas": {}, "f:selector": {}, "f:template": {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:spec": {"f:containers": {'k:{"name":"c"}': {
            ".": {}, "f:name": {}, "f:image": {}, "f:resources": {},
            "f:ports": {".": {}, 'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}, "f:protocol": {}}}}}}}}}


def test_an_empty_create_owns_nothing() -> None:
    assert "managedFields" not in written(config_map(), None, "m")["metadata"]


def test_an_update_takes_what_it_changes_and_nobody_owns_what_it_removes() -> None:
    first = written(config_map({"k": "v", "l": "w"}), None, "m1")
    second = written(config_map({"k": "changed", "n": "new"}), first, "m2", 1)
    assert entries(second) == [("m1", "Update", at(0), {"f:data": {}}), ("m2", "Update", at(1), {"f:data": {"f:k": {}, "f:n": {}}})]
    third = written(config_map({"k": "changed", "n": "new"}), second, "m3", 2)
    assert third["metadata"]["managedFields"] is second["metadata"]["managedFields"]
    assert "managedFields" not in written(config_map(), third, "m3", 3)["metadata"]


def test_one_manager_keeps_one_entry() -> None:
    first = written(config_map({"k": "v"}), None, "m")
    assert entries(written(config_map({"k": "v", "l": "w"}), first, "m", 5)) == [("m", "Update", at(5), {"f:data": {".": {}, "f:k": {}, "f:l": {}}})]


def test_fields_that_are_reset_belong_to_nobody() -> None:
    body = {"metadata": {"name": "d"}, "spec": {"replicas": 1}, "status": {"replicas": 5}}
    assert entries(written(body, None, "m", type=DEPLOYMENT, reset_fields=[("status",)]))[0][3] == {"f:spec": {"f:replicas": {}}}


def test_more_than_ten_updaters() -> None:
    obj = written(config_map({"k00": "v"}), None, "m00")
    for i in range(1, 12):
        obj = written(config_map(obj["data"] | {f"k{i:02}": "v"}), obj, f"m{i:02}", i)
    assert [e[0] for e in entries(obj)] == ["ancient-changes", *(f"m{i:02}" for i in range(3, 12))]
    assert entries(obj)[0] == ("ancient-changes", "Update", at(2), {"f:data": {".": {}, "f:k00": {}, "f:k01": {}, "f:k02": {}}})


@pytest.mark.parametrize("sent", [[], [{}]])
def test_an_empty_list_resets_and_stays_untracked(sent: Any) -> None:
    first = written(config_map({"k": "v"}), None, "m1")
    second = written(config_map({"k": "v"}, managedFields=sent), first, "m2")
    assert "managedFields" not in second["metadata"]
    assert "managedFields" not in written(config_map({"k": "w"}), second, "m2")["metadata"]


def test_entries_a_client_sends() -> None:
    sent = [{"manager": "invented", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:k": {}}}}]
    assert entries(written(config_map({"k": "v"}, managedFields=sent), None, "m1"))[0][0] == "m1"
    live = written(config_map({"k": "v"}), None, "m1")
    assert entries(written(config_map({"k": "v"}, managedFields=sent), live, "m2"))[0][0] == "invented"
    for wrong in ({"operation": "Sideways"}, {"fieldsType": "FieldsV9"}, {"apiVersion": ""}, {"fieldsV1": {"odd": {}}}):
        assert entries(written(config_map({"k": "v"}, managedFields=[sent[0] | wrong]), live, "m2"))[0][0] == "m1"


def test_apply_creates_changes_and_removes() -> None:
    first = applied(None, config_map({"k": "v"}, labels={"x": "z"}), "m1")
    assert entries(first) == [("m1", "Apply", at(0), {"f:data": {"f:k": {}}, "f:metadata": {"f:labels": {"f:x": {}}}})]
    assert applied(first, config_map({"k": "v"}, labels={"x": "z"}), "m1", 1) == first
    second = applied(first, config_map({"k": "w", "l": "new"}), "m1", 2)
    assert second["data"] == {"k": "w", "l": "new"} and "labels" not in second["metadata"]
    assert entries(second) == [("m1", "Apply", at(2), {"f:data": {"f:k": {}, "f:l": {}}})]


def test_what_apply_creates_is_the_callers_own() -> None:
    deployment = definition("io.k8s.api.apps.v1.Deployment")
    body = {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "a"}}

    def applied() -> dict[str, Any]:
        return apply(None, body, deployment, manager="m", force=False, api_version="apps/v1", subresource="", now="2026-01-01T00:00:00Z")

    first = applied()
    first["spec"]["strategy"]["type"] = "Recreate"
    assert applied()["spec"]["strategy"] == {}


def test_conflicts_name_managers_and_paths() -> None:
    live = written(config_map({"k": "v", "l": "w"}), None, "creator")
    with pytest.raises(ApplyConflict) as caught:
        applied(live, config_map({"k": "changed"}), "m1")
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "creator" using v1: .data.k'
    assert caught.value.details == {"causes": [{"reason": "FieldManagerConflict", "message": 'conflict with "creator" using v1', "field": ".data.k"}]}
    shared = applied(live, config_map({"k": "v"}), "m1", 1)
    assert entries(shared)[0] == ("m1", "Apply", None, {"f:data": {"f:k": {}}})
    with pytest.raises(ApplyConflict) as caught:
        applied(shared, config_map({"k": "changed"}), "creator")
    assert caught.value.message == 'Apply failed with 2 conflicts: conflicts with "creator" using v1:\n- .data.k\nconflicts with "m1":\n- .data.k'
    forced = applied(shared, config_map({"k": "changed"}), "m1", 2, force=True)
    assert entries(forced) == [("m1", "Apply", at(2), {"f:data": {"f:k": {}}}), ("creator", "Update", at(0), {"f:data": {".": {}, "f:l": {}}})]


def test_fields_of_others_survive_their_former_owner() -> None:
    live = applied(None, config_map({"k": "v", "l": "w", "m": "x"}, labels={"x": "y", "z": "w"}), "m1")
    live = applied(live, config_map({"k": "v"}, labels={"x": "y"}), "m2", 1)
    live = applied(live, config_map({"m": "x"}), "m1", 2)
    assert (live["data"], live["metadata"]["labels"]) == ({"k": "v", "m": "x"}, {"x": "y"})
    live = applied(live, config_map(), "m2", 3)
    assert live["data"] == {"m": "x"} and [e[0] for e in entries(live)] == ["m1"]


def test_untracked_objects_belong_to_before_first_apply() -> None:
    live = config_map({"k": "v"}, uid="u")
    with pytest.raises(ApplyConflict, match=r'"before-first-apply" using v1: \.data\.k'):
        applied(live, config_map({"k": "w"}), "m3")
    assert entries(applied(live, config_map({"k": "w"}), "m3", force=True)) == [
        ("m3", "Apply", at(0), {"f:data": {"f:k": {}}}), ("before-first-apply", "Update", at(0), {"f:data": {}})]


def pod_template(*containers: Object) -> Object:
    return {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "a"}, "template": {"spec": {"containers": list(containers)}}}


def test_containers_merge_by_name() -> None:
    live = applied(None, pod_template({"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}]}), "m1", type=POD_TEMPLATE)
    live = applied(live, pod_template({"name": "d", "image": "j"}), "m2", type=POD_TEMPLATE)
    live = applied(live, pod_template({"name": "c", "env": [{"name": "B", "value": "2"}]}, {"name": "b", "image": "k"}), "m3", type=POD_TEMPLATE)
    assert [c["name"] for c in live["template"]["spec"]["containers"]] == ["c", "d", "b"]
    with pytest.raises(ApplyConflict, match=r'conflict with "m1": .template.spec.containers\[name="c"\].env\[name="A"\].value'):
        applied(live, pod_template({"name": "c", "env": [{"name": "A", "value": "other"}]}), "m4", type=POD_TEMPLATE)
    live = applied(live, pod_template(), "m2", type=POD_TEMPLATE)
    live = applied(live, pod_template({"name": "c", "image": "i"}), "m1", type=POD_TEMPLATE)
    assert live["template"]["spec"]["containers"] == [
        {"name": "c", "image": "i", "env": [{"name": "B", "value": "2"}], "resources": {}}, {"name": "b", "image": "k", "resources": {}}]


def test_another_spelling_is_a_conflict() -> None:
    live = applied(None, pod_template({"name": "c", "resources": {"limits": {"cpu": "1000m"}}}), "m1", type=POD_TEMPLATE)
    with pytest.raises(ApplyConflict, match=r"limits\.cpu"):
        applied(live, pod_template({"name": "c", "resources": {"limits": {"cpu": 1}}}), "m2", type=POD_TEMPLATE)
    applied(live, pod_template({"name": "c", "resources": {"limits": {"cpu": "1"}}}), "m2", type=POD_TEMPLATE)


def test_empty_and_null_are_owned() -> None:
    live = applied(None, config_map({}, labels={}, annotations=None), "m1")
    assert entries(live)[0][3] == {"f:data": {}, "f:metadata": {"f:annotations": {}, "f:labels": {}}}
    live = applied(live, config_map({"k": "", "l": None}), "m1")
    assert live["data"] == {"k": "", "l": ""}


@pytest.mark.parametrize(("body", "code", "words"), [
    (config_map() | {"apiVersion": "v2"}, 400, "invalid object type: /v2, Kind=ConfigMap"),
    (config_map(managedFields=[]), 400, "metadata.managedFields must be nil"),
    (config_map() | {"foo": "bar"}, 500, "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .foo: field not declared in schema"),
    (config_map({"k": 5}), 500, "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .data.k: expected string, "
                                "got &value.valueUnstructured{Value:5}"),
    (config_map() | {"metadata": "x"}, 500, 'failed to create typed patch object (/; /v1, Kind=ConfigMap): .metadata: expected map, got "x"'),
])
def test_bodies_that_are_refused(body: Object, code: int, words: str) -> None:
    with pytest.raises(ApiError) as caught:
        apply(None, body, CONFIG_MAP, manager="m", force=False, api_version="v1", subresource="", now=at(0))
    assert (caught.value.code, caught.value.message) == (code, words)


def test_kubectl_follows_its_client_side_self() -> None:
    annotation = orjson.dumps(config_map({"k": "v", "l": "w"})).decode() + "\n"
    live = written(config_map({"k": "v", "l": "w"}, annotations={LAST_APPLIED: annotation}), None, "kubectl-client-side-apply")
    with pytest.raises(ApplyConflict):
        applied(live, config_map({"k": "changed"}), "first")
    after = applied(live, config_map({"k": "changed"}), "kubectl", 1)
    assert after["metadata"]["annotations"][LAST_APPLIED] == '{"apiVersion":"v1","data":{"k":"changed"},"kind":"ConfigMap","metadata":{"name":"a"}}\n'
    assert entries(after)[0] == ("kubectl", "Apply", at(1), {"f:data": {"f:k": {}}})
    other = written(config_map({"k": "third", "l": "w"}, annotations={LAST_APPLIED: annotation}), live, "third")
    with pytest.raises(ApplyConflict, match='"third"'):
        applied(other, config_map({"k": "changed"}), "kubectl")


def test_times_alone_are_no_change() -> None:
    old = written(config_map({"k": "v"}), None, "m", 1)
    new = written(config_map({"k": "v"}), None, "m", 2)
    assert ignore_times(new, old) and new == old
    assert not ignore_times(written(config_map({"k": "v"}), None, "other", 2), old)


def test_scale_shares_the_entries() -> None:
    replicas = ("spec", "replicas")
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 0, "paused": True}}
    parent = applied(None, body, "m1", type=DEPLOYMENT)["metadata"]["managedFields"]
    scale = scale_entries(parent, replicas)
    assert [(e["manager"], e["apiVersion"], e["fieldsV1"]) for e in scale] == [("m1", "autoscaling/v1", {"f:spec": {"f:replicas": {}}})]
    assert parent_entries(parent, scale, replicas, "apps/v1") == parent
    taken = [{"manager": "m2", "operation": "Update", "apiVersion": "autoscaling/v1", "time": at(9), "fieldsType": "FieldsV1", "subresource": "scale",
              "fieldsV1": {"f:spec": {"f:replicas": {}}}}]
    after = parent_entries(parent, taken, replicas, "apps/v1")
    assert [(e["manager"], e["apiVersion"], e["fieldsV1"]) for e in after] == [
        ("m1", "apps/v1", {"f:spec": {"f:paused": {}}}), ("m2", "apps/v1", {"f:spec": {"f:replicas": {}}})]


_data = st.dictionaries(st.sampled_from("klm"), st.sampled_from(["", "v", "w"]), max_size=3)


_writes = st.one_of(st.tuples(st.sampled_from(["m1", "m2"]), _data.filter(bool), st.just(True)), st.tuples(st.sampled_from(["m1", "m2"]), _data, st.just(False)))


@given(st.lists(_writes, min_size=1, max_size=6))
def test_applying_twice_changes_nothing(story: list[tuple[str, Object, bool]]) -> None:
    """But for empty maps: as what is empty is not stored, each apply of one adds it anew."""
    live: Object | None = None
    for second, (manager, data, is_apply) in enumerate(story):
        if is_apply:
            live = applied(live, config_map(data), manager, second, force=True)
            again = applied(live, config_map(data), manager, 50, force=True)
            assert ignore_times(again, live) and again == live
            assert all((live.get("data") or {}).get(key) == value for key, value in data.items())
        else:
            live = written(config_map(data), live, manager, second)
    owned = [f for e in entries(live or {}) for f in e[3].get("f:data", {}) if f != "."]
    assert {f[2:] for f in owned} <= set((live or {}).get("data") or {})
