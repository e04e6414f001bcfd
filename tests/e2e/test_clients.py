"""What others wrote against Kubernetes, untouched: the official Python client and an operator built with kopf."""
from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException

from tests.e2e.cluster import Cluster, eventually

_numbers = itertools.count(1)
GREETINGS = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: greetings.example.tiffin.dev}
spec:
  group: example.tiffin.dev
  scope: Namespaced
  names: {plural: greetings, singular: greeting, kind: Greeting, shortNames: [hi]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {who: {type: string}}}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""


@pytest.fixture
def api(light_cluster: Cluster) -> client.ApiClient:
    return config.new_client_from_config(str(light_cluster.directory / "kubeconfig"))


@pytest.fixture
def namespace(api: client.ApiClient) -> Iterator[str]:
    name = f"clients-{next(_numbers)}"
    core = client.CoreV1Api(api)
    core.create_namespace({"metadata": {"name": name}})
    yield name
    core.delete_namespace(name)


def deployment(name: str, replicas: int) -> dict[str, Any]:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}}}


def test_the_typed_client_runs_a_deployment(api: client.ApiClient, namespace: str) -> None:
    apps, core = client.AppsV1Api(api), client.CoreV1Api(api)
    apps.create_namespaced_deployment(namespace, deployment("web", 3))
    for event in watch.Watch().stream(apps.list_namespaced_deployment, namespace, timeout_seconds=30):
        if event["object"].status.available_replicas == 3:
            break
    pods = core.list_namespaced_pod(namespace, label_selector="app=web").items
    assert len(pods) == 3 and {pod.status.phase for pod in pods} == {"Running"}
    apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 1}})
    eventually("one pod is left", lambda: len(core.list_namespaced_pod(namespace).items) == 1)
    apps.delete_namespaced_deployment("web", namespace)
    eventually("its pods go with it", lambda: not core.list_namespaced_pod(namespace).items)


def test_errors_arrive_as_kubernetes_words_them(api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    with pytest.raises(ApiException) as missing:
        core.read_namespaced_config_map("none", namespace)
    assert missing.value.status == 404 and 'configmaps \\"none\\" not found' in missing.value.body
    with pytest.raises(ApiException) as bad:
        core.create_namespaced_pod(namespace, {"metadata": {"name": "Upper"}, "spec": {"containers": []}})
    assert bad.value.status == 422 and "spec.containers" in bad.value.body and "metadata.name" in bad.value.body


def test_the_dynamic_client_finds_everything_by_discovery(api: client.ApiClient, namespace: str) -> None:
    everything = dynamic.DynamicClient(api)
    maps = everything.resources.get(api_version="v1", kind="ConfigMap")
    maps.create(namespace=namespace, body={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}})
    applied = maps.server_side_apply(
        namespace=namespace, field_manager="me", force_conflicts=True,
        body={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "w"}})
    assert applied.data.k == "w" and applied.metadata.managedFields[0].manager == "me"
    assert [item.metadata.name for item in maps.get(namespace=namespace, field_selector="metadata.name=a").items] == ["a"]
    kinds = {resource.kind for resource in everything.resources.search(group="apps")}
    assert {"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"} <= kinds


def test_a_watch_resumes_where_another_ended(api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    start = core.list_namespaced_secret(namespace).metadata.resource_version
    for name in "abc":
        core.create_namespaced_secret(namespace, {"metadata": {"name": name}})
    seen: list[tuple[str, str]] = []
    while len(seen) < 3:
        stream = watch.Watch()
        for event in stream.stream(core.list_namespaced_secret, namespace, resource_version=start, timeout_seconds=30):
            seen.append((event["type"], event["object"].metadata.name))
            start = event["object"].metadata.resource_version
            stream.stop()  # one event at a time, each from where the last one was
    assert seen == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]


@contextmanager
def operator(cluster: Cluster, namespace: str) -> Iterator[list[str]]:
    """kopf, run as its users run it; gives what it has logged."""
    script = Path(__file__).with_name("greeter_operator.py")
    environment = {**os.environ, "KUBECONFIG": str(cluster.directory / "kubeconfig")}
    process = subprocess.Popen(
        [sys.executable, "-m", "kopf", "run", str(script), "--namespace", namespace, "--standalone"], env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()), daemon=True)
    reader.start()
    try:
        yield lines
    finally:
        process.terminate()
        process.wait(20)
        reader.join(5)


def test_an_operator_with_handlers_timers_and_finalizers(light_cluster: Cluster, api: client.ApiClient, namespace: str) -> None:
    cluster = light_cluster.through("", namespace)
    cluster.kubectl("apply", "-f", "-", input=GREETINGS)
    cluster.wait("condition=Established", "crd/greetings.example.tiffin.dev")
    with operator(light_cluster, namespace) as log:
        greeting = "apiVersion: example.tiffin.dev/v1\nkind: Greeting\nmetadata: {name: first}\nspec: {who: %s}\n"
        cluster.kubectl("apply", "-f", "-", input=greeting % "World")
        try:
            eventually("the operator made a ConfigMap", lambda: cluster.jsonpath("cm first", "{.data.text}") == "Hello, World!")
            cluster.kubectl("apply", "-f", "-", input=greeting % "Tiffin")
            eventually("the operator followed", lambda: cluster.jsonpath("cm first", "{.data.text}") == "Hello, Tiffin!")
            eventually("its timer runs", lambda: int(cluster.jsonpath("hi first", "{.status.ticks}") or 0) > 2)
            assert "kopf" in cluster.jsonpath("hi first", "{.metadata.finalizers}")
            cluster.kubectl("delete", "hi", "first", "--timeout=30s")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{''.join(log)}") from error
        assert cluster.jsonpath("cm first-farewell", "{.data.text}") == "Goodbye"
        eventually("what it owned is collected", lambda: not cluster.get("cm", "first"))
    cluster.kubectl("delete", "crd", "greetings.example.tiffin.dev")
