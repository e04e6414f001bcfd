"""Environments of containers: sources, expansion, service variables, and the exact words of what is missing."""
from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kubelet.builders import container, pod
from tiffin.kubelet.env import ConfigError, Sources, environment, expand, service_variables
from tiffin.kubelet.fields import Facts
from tiffin.machinery.object import Object

MAPS: dict[str, Object] = {"m": {"data": {"a": "1", "b": "2"}}}
SECRETS: dict[str, Object] = {"s": {"data": {"p": "c2VjcmV0"}}}
FACTS = Facts(("10.0.0.5", "fd00::5"), ("192.0.2.1",), {"cpu": "4", "memory": "8Gi"})


def made(one: Object, services: list[Object] | None = None, **meta: Any) -> dict[str, str]:
    wish = pod(one, meta={"labels": {"app": "x"}, "annotations": {"note": "y"}} | meta, nodeName="n1", serviceAccountName="sa")
    return environment(wish, one, Sources(MAPS.get, SECRETS.get, services or [], FACTS))


@pytest.mark.parametrize(("text", "expected"), [
    ("$(A)", "1"), ("$(A)$(B)", "12"), ("$(C)", "$(C)"), ("$$(A)", "$(A)"), ("$$$(A)", "$1"), ("$", "$"), ("$A", "$A"), ("$(A", "$(A"), ("a$$b", "a$b"), ("$()", "$()"),
])
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expected


@given(st.text(alphabet="ab)$ "))
def test_expansion_without_references_only_unescapes(text: str) -> None:
    assert expand(text, {}) == re.sub(r"\$\$", "$", text)


def test_sources_in_their_order() -> None:
    one = container(
        envFrom=[{"configMapRef": {"name": "m"}}, {"prefix": "S_", "secretRef": {"name": "s"}}, {"configMapRef": {"name": "none", "optional": True}}],
        env=[
            {"name": "a", "value": "own"}, {"name": "c", "value": "$(a)-$(b)-$(later)"}, {"name": "later", "value": "x"}, {"name": "empty"},
            {"name": "key", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "b"}}}, {"name": "pw", "valueFrom": {"secretKeyRef": {"name": "s", "key": "p"}}},
            {"name": "no", "valueFrom": {"secretKeyRef": {"name": "s", "key": "zz", "optional": True}}},
        ],
    )
    assert made(one) == {"a": "own", "b": "2", "S_p": "secret", "c": "own-2-$(later)", "later": "x", "empty": "", "key": "2", "pw": "secret"}


@pytest.mark.parametrize(("path", "expected"), [
    ("metadata.name", "p"), ("metadata.namespace", "default"), ("metadata.uid", "u1"), ("metadata.labels['app']", "x"), ("metadata.annotations['note']", "y"),
    ("metadata.labels['none']", ""), ("spec.nodeName", "n1"), ("spec.serviceAccountName", "sa"), ("status.hostIP", "192.0.2.1"), ("status.podIP", "10.0.0.5"),
    ("status.podIPs", "10.0.0.5,fd00::5"), ("metadata.labels", 'app="x"'),
])
def test_fields(path: str, expected: str) -> None:
    assert made(container(env=[{"name": "v", "valueFrom": {"fieldRef": {"fieldPath": path}}}]))["v"] == expected


@pytest.mark.parametrize(("reference", "expected"), [
    ({"resource": "limits.cpu"}, "2"), ({"resource": "requests.cpu", "divisor": "1m"}, "250"), ({"resource": "limits.memory"}, str(8 * 2**30)),
    ({"resource": "limits.memory", "divisor": "1Mi"}, "8192"), ({"resource": "requests.memory"}, "1000"), ({"resource": "requests.cpu"}, "1"),
])
def test_resources(reference: Any, expected: str) -> None:
    resources = {"limits": {"cpu": "1500m"}, "requests": {"cpu": "250m", "memory": "1k"}}
    assert made(container(resources=resources, env=[{"name": "v", "valueFrom": {"resourceFieldRef": reference}}]))["v"] == expected


@pytest.mark.parametrize(("more", "words"), [
    ({"envFrom": [{"configMapRef": {"name": "x"}}]}, 'configmap "x" not found'),
    ({"envFrom": [{"secretRef": {"name": "x"}}]}, 'secret "x" not found'),
    ({"env": [{"name": "v", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "k"}}}]}, 'configmap "x" not found'),
    ({"env": [{"name": "v", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}]}, "couldn't find key k in ConfigMap default/m"),
    ({"env": [{"name": "v", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}, "couldn't find key k in Secret default/s"),
    ({"env": [{"name": "v", "valueFrom": {"fieldRef": {"fieldPath": "spec.nope"}}}]}, "unsupported fieldPath: spec.nope"),
])
def test_what_is_missing_is_said(more: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        made(container(**more))
    assert str(caught.value) == words


def service(name: str, namespace: str = "default", address: str = "10.96.0.7", *ports: Any) -> Object:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": address, "ports": list(ports) or [{"port": 80, "name": "web-ui"}]}}


def test_services() -> None:
    found = service_variables(pod(), [service("my-app"), service("headless", "default", "None"), service("elsewhere", "other")])
    assert found == {
        "MY_APP_SERVICE_HOST": "10.96.0.7", "MY_APP_SERVICE_PORT": "80", "MY_APP_SERVICE_PORT_WEB_UI": "80", "MY_APP_PORT": "tcp://10.96.0.7:80",
        "MY_APP_PORT_80_TCP": "tcp://10.96.0.7:80", "MY_APP_PORT_80_TCP_PROTO": "tcp", "MY_APP_PORT_80_TCP_PORT": "80", "MY_APP_PORT_80_TCP_ADDR": "10.96.0.7",
    }
    alone = service_variables(pod(enableServiceLinks=False), [service("my-app"), service("kubernetes", address="10.96.0.1")])
    assert {k for k in alone if "SERVICE_HOST" in k} == {"KUBERNETES_SERVICE_HOST"}
    assert made(container(env=[{"name": "MY_APP_PORT", "value": "mine"}, {"name": "U", "value": "$(MY_APP_SERVICE_HOST)"}]), [service("my-app")])["MY_APP_PORT"] == "mine"
