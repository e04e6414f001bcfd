"""ConfigMap kube-public/cluster-info: the kubeconfig in it is signed with every join token that may sign, so that whoever holds a
token can tell that it was not made up by somebody on the way.

A signature is a JWS with its payload left out (RFC 7515, appendix F), HMAC with SHA-256 over the text of the kubeconfig, under the
key `jws-kubeconfig-<id of the token>`. Source: Kubernetes documentation "Authenticating with Bootstrap Tokens".
"""
from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime

from tiffin.controllers import bootstraptokens as tokens
from tiffin.controllers.config import Config
from tiffin.controllers.resources import CONFIG_MAPS, EVENTS_RULE, SECRETS
from tiffin.controllers.writing import changed
from tiffin.machinery.object import Key, Object, key_of
from tiffin.runtime.controller import Changes, Controller, PolicyRule, View, Watch

CLUSTER_INFO = Key("kube-public", "cluster-info")
KUBECONFIG, SIGNATURE = "kubeconfig", "jws-kubeconfig-"


def keys(obj: Object, view: View) -> Iterable[Key]:
    return (CLUSTER_INFO,) if key_of(obj) == CLUSTER_INFO or tokens.is_token(obj) else ()


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    info = view.get(CONFIG_MAPS, *CLUSTER_INFO)
    if info is None or KUBECONFIG not in (info.get("data") or {}):
        return Changes()
    content = info["data"][KUBECONFIG]
    good = [pair for secret in view.list(SECRETS, tokens.NAMESPACE) if (pair := tokens.signing_key(secret, now))]
    kept = {name: value for name, value in info["data"].items() if not name.startswith(SIGNATURE)}
    signatures = {f"{SIGNATURE}{token}": signature(content, token, secret) for token, secret in good}
    return Changes(changed(CONFIG_MAPS, info, info | {"data": kept | signatures}))


def signature(content: str, token: str, secret: str) -> str:
    """The detached JWS of the content."""
    header = _encoded(f'{{"alg":"HS256","kid":"{token}"}}'.encode())
    mac = hmac.new(secret.encode(), f"{header}.{_encoded(content.encode())}".encode(), hashlib.sha256)
    return f"{header}..{_encoded(mac.digest())}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def controller(config: Config) -> Controller:
    rules = (
        PolicyRule(("",), ("secrets",), ("get", "list", "watch")),
        PolicyRule(("",), ("configmaps",), ("get", "list", "patch", "update", "watch")),
        EVENTS_RULE,
    )
    watches = (Watch(CONFIG_MAPS, keys=keys), Watch(SECRETS, keys=keys))
    return Controller("bootstrap-signer", watches, reconcile, rules, workers=1)
