"""Secrets of type service-account-token: filled with a token, the root certificate and the namespace; gone with their account."""
from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from datetime import datetime

from tiffin.controllers.config import Config
from tiffin.controllers.resources import EVENTS_RULE, SECRETS, SERVICE_ACCOUNTS
from tiffin.controllers.writing import changed
from tiffin.machinery.object import Key, Object, annotations_of, is_deleting, key_of, name_of, namespace_of, replaced, uid_of
from tiffin.runtime.controller import Absent, Changes, Controller, Delete, PolicyRule, View, Watch

TYPE = "kubernetes.io/service-account-token"
ACCOUNT, ACCOUNT_UID = "kubernetes.io/service-account.name", "kubernetes.io/service-account.uid"


def account_index(secret: Object) -> Iterable[str]:
    """The index "account": namespace and name of the account whose token the secret is for."""
    return (f"{namespace_of(secret)}/{annotations_of(secret).get(ACCOUNT, '')}",) if secret.get("type") == TYPE else ()


def own_key(secret: Object, view: View) -> Iterable[Key]:
    return (key_of(secret),) if secret.get("type") == TYPE else ()


def secret_keys(account: Object, view: View) -> Iterable[Key]:
    return [key_of(secret) for secret in view.by_index(SECRETS, "account", f"{namespace_of(account)}/{name_of(account)}")]


def reconcile(config: Config, key: Key, view: View, now: datetime) -> Changes:
    secret = view.get(SECRETS, *key)
    if secret is None or secret.get("type") != TYPE or is_deleting(secret):
        return Changes()
    name, uid = annotations_of(secret).get(ACCOUNT, ""), annotations_of(secret).get(ACCOUNT_UID, "")
    account = view.get(SERVICE_ACCOUNTS, key.namespace, name)
    if account is None or (uid and uid != uid_of(account)):
        gone = Absent(SERVICE_ACCOUNTS, key.namespace, name, uid)
        return Changes((gone, Delete(SECRETS, *key, uid=uid_of(secret))))
    data = {"namespace": _encoded(key.namespace), "ca.crt": _encoded(config.root_ca)} | (secret.get("data") or {})
    if config.root_ca:
        data["ca.crt"] = _encoded(config.root_ca)
    if not data.get("token") and (token := config.sign_token(account, secret)):
        data["token"] = _encoded(token)
    filled = secret | {"data": {name: value for name, value in data.items() if value}}
    return Changes(changed(SECRETS, secret, replaced(filled, ("metadata", "annotations"), {**annotations_of(secret), ACCOUNT_UID: uid_of(account)})))


def _encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def controller(config: Config) -> Controller:
    watches = (Watch(SECRETS, keys=own_key, indexes={"account": account_index}), Watch(SERVICE_ACCOUNTS, keys=secret_keys))
    rules = (
        PolicyRule(("",), ("secrets",), ("create", "delete", "get", "list", "patch", "update", "watch")),
        PolicyRule(("",), ("serviceaccounts",), ("get", "list", "update", "watch")),
        EVENTS_RULE,
    )
    return Controller("tokens-controller", watches, lambda key, view, now: reconcile(config, key, view, now), rules)
