"""Every namespace has the ConfigMap `kube-root-ca.crt`, by which pods know the API server; changes to it are undone."""
from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from tiffin.controllers.config import Config
from tiffin.controllers.resources import CONFIG_MAPS, EVENTS_RULE, NAMESPACES
from tiffin.controllers.writing import changed
from tiffin.machinery.object import Key, Object, annotations_of, is_deleting, name_of, namespace_of, replaced
from tiffin.runtime.controller import Changes, Controller, Create, PolicyRule, View, Watch

NAME = "kube-root-ca.crt"
DESCRIPTION = {
    "kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
}


def namespace_key(config_map: Object, view: View) -> Iterable[Key]:
    return (Key("", namespace_of(config_map)),) if name_of(config_map) == NAME else ()


def reconcile(root_ca: str, key: Key, view: View, now: datetime) -> Changes:
    namespace = view.get(NAMESPACES, *key)
    if namespace is None or is_deleting(namespace):
        return Changes()
    data = {"ca.crt": root_ca}
    published = view.get(CONFIG_MAPS, key.name, NAME)
    if published is None:
        metadata = {"name": NAME, "namespace": key.name, "annotations": DESCRIPTION}
        config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        return Changes((Create(CONFIG_MAPS, config_map, ignore_exists=True),))
    if is_deleting(published) or published.get("immutable"):
        return Changes()
    wanted = replaced(published | {"data": data}, ("metadata", "annotations"), {**annotations_of(published), **DESCRIPTION})
    return Changes(changed(CONFIG_MAPS, published, wanted))


def controller(config: Config) -> Controller:
    watches = (Watch(NAMESPACES), Watch(CONFIG_MAPS, keys=namespace_key))
    rules = (
        PolicyRule(("",), ("configmaps",), ("create", "list", "patch", "update", "watch")),
        PolicyRule(("",), ("namespaces",), ("get", "list", "watch")),
        EVENTS_RULE,
    )
    return Controller("root-ca-cert-publisher", watches, lambda key, view, now: reconcile(config.root_ca, key, view, now), rules)
