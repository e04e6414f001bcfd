"""Strategic merge patch on types of built-in kinds."""
from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.machinery.patch import Fault, PatchError
from tiffin.machinery.schema import definition
from tiffin.machinery.strategicpatch import apply_strategic_patch

POD_SPEC, OBJECT_META, DEPLOYMENT, SERVICE_ACCOUNT, CONTAINER, SERVICE_SPEC = map(definition, (
    "io.k8s.api.core.v1.PodSpec", "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "io.k8s.api.apps.v1.DeploymentSpec",
    "io.k8s.api.core.v1.ServiceAccount", "io.k8s.api.core.v1.Container", "io.k8s.api.core.v1.ServiceSpec"))


def named(*names: str) -> list[dict[str, Any]]:
    return [{"name": name} for name in names]


@pytest.mark.parametrize(("type", "obj", "patch", "result"), [
    (POD_SPEC, {"containers": [{"name": "c", "image": "i"}, {"name": "d"}]}, {"containers": [{"name": "d", "image": "j"}]},
     {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}),
    (POD_SPEC, {"initContainers": named("i")}, {"initContainers": named("j")}, {"initContainers": named("j", "i")}),
    (POD_SPEC, {"containers": named("c", "d")}, {"containers": [{"name": "c", "$patch": "delete"}]}, {"containers": named("d")}),
    (POD_SPEC, {"containers": named("c", "d")}, {"containers": [{"$patch": "replace"}, {"name": "e"}]}, {"containers": named("e")}),
    (POD_SPEC, {"containers": named("c", "d")}, {"$setElementOrder/containers": named("d", "c")}, {"containers": named("d", "c")}),
    (POD_SPEC, {"containers": named("d", "n", "c")}, {"$setElementOrder/containers": named("c", "d")}, {"containers": named("n", "c", "d")}),
    (POD_SPEC, {"containers": named("d", "c")}, {"$setElementOrder/containers": named("d", "n", "c"), "containers": named("n")},
     {"containers": named("d", "n", "c")}),
    (POD_SPEC, {}, {"$setElementOrder/containers": named("c"), "containers": [{"name": "c"}, {"name": "d", "$patch": "delete"}]},
     {"containers": named("c")}),
    (POD_SPEC, {"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "b"}]}, {"tolerations": [{"key": "b"}]}),
    (POD_SPEC, {"nodeSelector": {"a": "b", "c": "d"}}, {"nodeSelector": {"a": None, "e": "f"}}, {"nodeSelector": {"c": "d", "e": "f"}}),
    (POD_SPEC, {"securityContext": {"runAsUser": 5}}, {"securityContext": {"$patch": "replace", "fsGroup": 7}}, {"securityContext": {"fsGroup": 7}}),
    (POD_SPEC, {"securityContext": {"runAsUser": 5}}, {"securityContext": {"$patch": "delete"}}, {"securityContext": {}}),
    (POD_SPEC, {}, {"securityContext": {"$patch": "replace", "fsGroup": 7}}, {}),
    (POD_SPEC, {"volumes": [{"name": "v", "emptyDir": {}}]}, {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]},
     {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}),
    (POD_SPEC, {}, {"affinity": {"nodeAffinity": None, "podAffinity": {}}}, {"affinity": {"podAffinity": {}}}),
    (DEPLOYMENT, {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}, {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}},
     {"strategy": {"type": "Recreate"}}),
    (OBJECT_META, {"finalizers": ["one", "two"]}, {"finalizers": ["two", "three"]}, {"finalizers": ["one", "two", "three"]}),
    (OBJECT_META, {"finalizers": ["one", "two"]}, {"$deleteFromPrimitiveList/finalizers": ["one", "none"]}, {"finalizers": ["two"]}),
    (OBJECT_META, {"finalizers": ["two", "three"]}, {"$setElementOrder/finalizers": ["three", "four", "two"], "finalizers": ["four"]},
     {"finalizers": ["three", "four", "two"]}),
    (OBJECT_META, {"labels": {"a": "1"}}, {"labels": {"$patch": "replace", "b": "2"}}, {"labels": {"b": "2"}}),
    (OBJECT_META, {"labels": {"a": "1"}}, {"labels": None}, {}),
    (SERVICE_ACCOUNT, {"secrets": named("s"), "imagePullSecrets": named("p")}, {"secrets": named("t"), "imagePullSecrets": named("q")},
     {"secrets": named("t", "s"), "imagePullSecrets": named("q")}),
    (CONTAINER, {"ports": [{"containerPort": 80, "name": "x"}, {"containerPort": 443}]}, {"ports": [{"containerPort": 80, "name": "w"}, {"containerPort": 8080}]},
     {"ports": [{"containerPort": 80, "name": "w"}, {"containerPort": 8080}, {"containerPort": 443}]}),
    (SERVICE_SPEC, {"ports": [{"port": 80}, {"port": 81}]}, {"ports": [{"port": 81, "name": "y"}, {"port": 82}]},
     {"ports": [{"port": 80}, {"port": 81, "name": "y"}, {"port": 82}]}),
])
def test_merges(type: Any, obj: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]) -> None:
    before = copy.deepcopy((obj, patch))
    assert apply_strategic_patch(obj, patch, type) == result
    assert (obj, patch) == before


@pytest.mark.parametrize("patch", [
    {"$setElementOrder/containers": named("c"), "containers": named("d")},
    {"$setElementOrder/containers": named("d", "c"), "containers": named("c", "d")},
    {"$setElementOrder/containers": {}},
    {"containers": [{"image": "no name"}]},
    {"containers": [{"$patch": "delete"}]},
    {"containers": [{"name": "c", "$patch": "merge"}]},
    {"containers": [{"name": "c", "$patch": "odd"}]},
    {"containers": ["text"]},
    {"$patch": "odd"},
    {"$retainKeys": ["hostPID"], "hostIPC": True},
    {"$retainKeys": "x"},
])
def test_directives_that_make_no_sense(patch: dict[str, Any]) -> None:
    with pytest.raises(PatchError) as caught:
        apply_strategic_patch({"containers": named("c", "d")}, patch, POD_SPEC)
    assert caught.value.fault is Fault.INTERNAL


def test_a_list_is_no_patch() -> None:
    with pytest.raises(PatchError) as caught:
        apply_strategic_patch({}, [], POD_SPEC)
    assert caught.value.fault is Fault.MALFORMED


_containers = st.lists(st.sampled_from("abcdef"), unique=True, max_size=5).map(lambda names: named(*names))


@given(_containers, _containers)
def test_merged_lists_keep_everything_once(old: list[Any], new: list[Any]) -> None:
    merged = apply_strategic_patch({"containers": old}, {"containers": new}, POD_SPEC)["containers"]
    assert sorted(c["name"] for c in merged) == sorted({c["name"] for c in old + new})
    assert [c for c in merged if c in new] == new
    assert apply_strategic_patch({"containers": merged}, {"containers": new}, POD_SPEC)["containers"] == merged
