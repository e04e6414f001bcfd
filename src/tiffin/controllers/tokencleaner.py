"""Join tokens that have expired are deleted. Source: Kubernetes documentation "Authenticating with Bootstrap Tokens"."""
from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from tiffin.controllers import bootstraptokens as tokens
from tiffin.controllers.config import Config
from tiffin.controllers.resources import EVENTS_RULE, SECRETS
from tiffin.machinery.object import Key, Object, is_deleting, key_of, uid_of
from tiffin.runtime.controller import Changes, Controller, Delete, PolicyRule, View, Watch


def keys(secret: Object, view: View) -> Iterable[Key]:
    return (key_of(secret),) if tokens.is_token(secret) else ()


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    secret = view.get(SECRETS, *key)
    if secret is None or not tokens.is_token(secret) or is_deleting(secret):
        return Changes()
    if tokens.has_expired(secret, now):
        return Changes((Delete(SECRETS, *key, uid=uid_of(secret)),))
    end = tokens.expiry(secret)
    return Changes(requeue_after=end - now if end else None)


def controller(config: Config) -> Controller:
    rules = (PolicyRule(("",), ("secrets",), ("delete", "get", "list", "watch")), EVENTS_RULE)
    return Controller("token-cleaner", (Watch(SECRETS, keys=keys),), reconcile, rules, workers=1)
