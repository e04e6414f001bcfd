"""Every namespace has the service account `default`, also after someone deletes it."""
from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from tiffin.controllers.config import Config
from tiffin.controllers.resources import EVENTS_RULE, NAMESPACES, SERVICE_ACCOUNTS
from tiffin.machinery.object import Key, Object, is_deleting, name_of, namespace_of
from tiffin.runtime.controller import Changes, Controller, Create, PolicyRule, View, Watch

NAME = "default"


def namespace_key(account: Object, view: View) -> Iterable[Key]:
    return (Key("", namespace_of(account)),) if name_of(account) == NAME else ()


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    namespace = view.get(NAMESPACES, *key)
    if namespace is None or is_deleting(namespace) or view.get(SERVICE_ACCOUNTS, key.name, NAME):
        return Changes()
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": key.name}}
    return Changes((Create(SERVICE_ACCOUNTS, account, ignore_exists=True),))


def controller(config: Config) -> Controller:
    watches = (Watch(NAMESPACES), Watch(SERVICE_ACCOUNTS, keys=namespace_key))
    rules = (
        PolicyRule(("",), ("serviceaccounts",), ("create", "list", "watch")),
        PolicyRule(("",), ("namespaces",), ("get", "list", "watch")),
        EVENTS_RULE,
    )
    return Controller("service-account-controller", watches, reconcile, rules)
