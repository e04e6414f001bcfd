"""lightkube and kr8s, untouched: two more clients with minds of their own about lists, watches, applies and waits."""
from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import kr8s
import lightkube
import pytest
from kr8s.objects import Deployment as Kr8sDeployment
from kr8s.objects import new_class
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import create_namespaced_resource, load_in_cluster_generic_resources
from lightkube.models.apps_v1 import DeploymentSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Namespace, Pod
from lightkube.types import CascadeType, PatchType

from tests.e2e.cluster import Cluster, eventually

_numbers = itertools.count(1)


@pytest.fixture
def client(light_cluster: Cluster) -> Iterator[lightkube.Client]:
    name = f"light-{next(_numbers)}"
    config = lightkube.KubeConfig.from_file(light_cluster.directory / "kubeconfig")
    made = lightkube.Client(config=config, namespace=name, field_manager="tests")
    made.create(Namespace(metadata=ObjectMeta(name=name)))
    yield made
    made.delete(Namespace, name)


def deployment(replicas: int) -> Deployment:
    labels = {"app": "web"}
    template = PodTemplateSpec(metadata=ObjectMeta(labels=labels), spec=PodSpec(containers=[Container(name="web", image="web:1")]))
    return Deployment(metadata=ObjectMeta(name="web"), spec=DeploymentSpec(replicas=replicas, selector=LabelSelector(matchLabels=labels), template=template))


def test_lightkube_applies_waits_scales_and_deletes(client: lightkube.Client) -> None:
    client.apply(Deployment.from_dict({"apiVersion": "apps/v1", "kind": "Deployment", **deployment(2).to_dict()}))
    ready = client.wait(Deployment, "web", for_conditions=["Available"])
    assert ready.status is not None and ready.status.availableReplicas == 2
    client.patch(Deployment.Scale, "web", {"spec": {"replicas": 1}})
    eventually("one pod is left", lambda: len(list(client.list(Pod, labels={"app": "web"}))) == 1)
    client.delete(Deployment, "web", cascade=CascadeType.FOREGROUND)
    eventually("nothing is left", lambda: not list(client.list(Deployment)) and not list(client.list(Pod)))


def test_lightkube_lists_in_pages_watches_and_reads_errors(client: lightkube.Client) -> None:
    for number in range(7):
        client.create(ConfigMap(metadata=ObjectMeta(name=f"c{number}", labels={"n": str(number)}), data={"k": "v"}))
    listed = client.list(ConfigMap, chunk_size=3, labels={"n": ["0", "1", "2", "3", "4", "5", "6"]})
    assert [each.metadata.name for each in listed] == [f"c{number}" for number in range(7)]
    version = listed.resourceVersion
    client.patch(ConfigMap, "c0", [{"op": "replace", "path": "/data/k", "value": "w"}], patch_type=PatchType.JSON)
    event, seen = next(iter(client.watch(ConfigMap, resource_version=version)))
    assert (event, seen.metadata.name, seen.data) == ("MODIFIED", "c0", {"k": "w"})
    with pytest.raises(ApiError, match='configmaps "missing" not found'):
        client.get(ConfigMap, "missing")


def test_lightkube_and_kinds_of_ones_own(client: lightkube.Client, light_cluster: Cluster) -> None:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer", "default": 1}}}}}
    names = {"plural": "boxes", "singular": "box", "kind": "Box"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}}}
    spec = {"group": "light.tiffin.dev", "scope": "Namespaced", "names": names, "versions": [version]}
    client.create(CustomResourceDefinition.from_dict({"metadata": {"name": "boxes.light.tiffin.dev"}, "spec": spec}))
    try:
        client.wait(CustomResourceDefinition, "boxes.light.tiffin.dev", for_conditions=["Established"])
        load_in_cluster_generic_resources(client)
        box = create_namespaced_resource("light.tiffin.dev", "v1", "Box", "boxes")
        assert client.create(box(metadata=ObjectMeta(name="b"), spec={}))["spec"] == {"size": 1}
        with pytest.raises(ApiError, match=r"spec.size in body must be of type integer"):
            client.create(box(metadata=ObjectMeta(name="bad"), spec={"size": "large"}))
    finally:
        client.delete(CustomResourceDefinition, "boxes.light.tiffin.dev")


@pytest.mark.filterwarnings("ignore:Kubernetes version")
def test_kr8s_creates_waits_and_finds(light_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "KUBECONFIG", str(light_cluster.directory / "kubeconfig"))
    api = kr8s.api(kubeconfig=str(light_cluster.directory / "kubeconfig"))
    labels = {"app": "kr8s"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    made = Kr8sDeployment({"metadata": {"name": "kr8s"}, "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}}, api=api)
    made.create()
    try:
        made.wait("condition=Available", timeout=30)
        assert len(made.pods()) == 2
        made.scale(1)
        eventually("one pod is left", lambda: len(list(api.get("pods", label_selector=labels))) == 1)
        made.annotate({"seen": "yes"})
        assert next(iter(api.get("deployments", "kr8s"))).annotations["seen"] == "yes"
        leases = new_class("Lease", "coordination.k8s.io/v1", asyncio=False)
        assert len(list(api.get(leases, namespace="kube-node-lease"))) == 2
    finally:
        made.delete(propagation_policy="Foreground")
        made.wait("delete", timeout=30)
