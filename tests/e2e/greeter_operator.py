"""A small operator as its users write one with kopf: it keeps a ConfigMap for every Greeting, counts on a timer, cleans up at the end."""
from __future__ import annotations

from typing import Any

import kopf
import kubernetes

GROUP, PLURAL = "example.tiffin.dev", "greetings"


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.posting.enabled = True
    kubernetes.config.load_kube_config()


def config_map(name: str, namespace: str, text: str) -> dict[str, Any]:
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": {"text": text}}
    kopf.adopt(body)
    return body


@kopf.on.create(GROUP, PLURAL)
def created(name: str, namespace: str, spec: dict[str, Any], **_: Any) -> dict[str, str]:
    kubernetes.client.CoreV1Api().create_namespaced_config_map(namespace, config_map(name, namespace, f"Hello, {spec['who']}!"))
    return {"said": f"Hello, {spec['who']}!"}


@kopf.on.update(GROUP, PLURAL, field="spec.who")
def changed(name: str, namespace: str, new: str, **_: Any) -> None:
    kubernetes.client.CoreV1Api().patch_namespaced_config_map(name, namespace, {"data": {"text": f"Hello, {new}!"}})


@kopf.timer(GROUP, PLURAL, interval=0.5)
def tick(status: dict[str, Any], patch: kopf.Patch, **_: Any) -> None:
    patch.status["ticks"] = int(status.get("ticks", 0)) + 1


@kopf.on.delete(GROUP, PLURAL)
def deleted(name: str, namespace: str, **_: Any) -> None:
    body = {"metadata": {"name": f"{name}-farewell", "namespace": namespace}, "data": {"text": "Goodbye"}}
    kubernetes.client.CoreV1Api().create_namespaced_config_map(namespace, body)
