"""Join tokens as Secrets: `bootstrap-token-<id>` of type bootstrap.kubernetes.io/token in kube-system.

Source: Kubernetes documentation "Authenticating with Bootstrap Tokens".
"""
from __future__ import annotations

import base64
import re
from datetime import datetime

from tiffin.machinery.object import Object, name_of, namespace_of
from tiffin.machinery.timestamps import parse_time

NAMESPACE, PREFIX, TYPE = "kube-system", "bootstrap-token-", "bootstrap.kubernetes.io/token"
_ID, _SECRET = re.compile(r"[a-z0-9]{6}"), re.compile(r"[a-z0-9]{16}")


def is_token(secret: Object) -> bool:
    return namespace_of(secret) == NAMESPACE and secret.get("type") == TYPE


def data_of(secret: Object) -> dict[str, str]:
    """The Secret's data as text."""
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in (secret.get("data") or {}).items()}


def expiry(secret: Object) -> datetime | None:
    """When the token ends, None for one that does not. Raises `ValueError` for what is no moment."""
    text = data_of(secret).get("expiration", "")
    return parse_time(text) if text else None


def has_expired(secret: Object, now: datetime) -> bool:
    """One whose end cannot be read has ended."""
    try:
        end = expiry(secret)
    except ValueError:
        return True
    return end is not None and end <= now


def signing_key(secret: Object, now: datetime) -> tuple[str, str] | None:
    """Id and secret of a token that may sign the discovery information; None for any other."""
    data = data_of(secret)
    token, key = data.get("token-id", ""), data.get("token-secret", "")
    well_formed = _ID.fullmatch(token) and _SECRET.fullmatch(key) and name_of(secret) == f"{PREFIX}{token}"
    if not is_token(secret) or not well_formed or data.get("usage-bootstrap-signing") != "true" or has_expired(secret, now):
        return None
    return token, key
