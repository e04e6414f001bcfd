"""PodTopologyLabels: where a pod runs is written on it."""

from __future__ import annotations

from tests.apiserver.inprocess import InProcess

PODS = "/api/v1/namespaces/default/pods"
ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"


async def test_a_bound_pod_gets_zone_and_region_of_its_node(api: InProcess) -> None:
    await api.made("/api/v1/nodes", {"metadata": {"name": "n", "labels": {ZONE: "z", REGION: "r", "other": "o"}}})
    await api.made(PODS, {"metadata": {"name": "p", "labels": {ZONE: "mine", "a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
    assert (await api.post(f"{PODS}/p/binding", binding)).status == 201
    assert (await api.get(f"{PODS}/p")).object["metadata"]["labels"] == {ZONE: "z", REGION: "r", "a": "b"}


async def test_so_does_a_pod_created_on_a_node(api: InProcess) -> None:
    await api.made("/api/v1/nodes", {"metadata": {"name": "n", "labels": {ZONE: "z"}}})
    spec = {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}
    assert (await api.made(PODS, {"metadata": {"name": "p"}, "spec": spec}))["metadata"]["labels"] == {ZONE: "z"}
    other = await api.made(PODS, {"metadata": {"name": "q"}, "spec": {**spec, "nodeName": "unknown"}})
    assert "labels" not in other["metadata"]
