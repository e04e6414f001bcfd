"""Join tokens: made, listed, withdrawn, in exactly kubeadm's form, so that its tools and ours understand one another's.

A token is `ID.SECRET`, a Secret `bootstrap-token-ID` of type bootstrap.kubernetes.io/token in kube-system.
Source: Kubernetes documentation "Authenticating with Bootstrap Tokens".
"""
from __future__ import annotations

import re
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tiffin.client.client import Client
from tiffin.controllers import bootstraptokens
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource
from tiffin.machinery.timestamps import format_time

SECRETS = Resource("", "v1", "secrets")
USAGES = ("signing", "authentication")
GROUP = "system:bootstrappers:tiffin:default-node-token"
_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_ALPHABET = string.ascii_lowercase + string.digits


class BadToken(ValueError):
    """The text is no join token, or there is none of that name."""


@dataclass(frozen=True)
class JoinToken:
    """One token; `expires` is None for one that does not."""

    id: str
    secret: str
    expires: datetime | None
    usages: tuple[str, ...]
    groups: str = GROUP
    description: str = ""

    @property
    def text(self) -> str:
        return f"{self.id}.{self.secret}"


def new_token(ttl: timedelta | None, usages: Sequence[str] = USAGES, description: str = "", text: str = "", now: datetime | None = None) -> JoinToken:
    """A token of random letters, or the one of that text. Raises `BadToken`."""
    if text and not _TOKEN.fullmatch(text):
        raise BadToken(f"{text!r} is no join token: it takes six letters or digits, a point, and sixteen more")
    id, _, secret = (text or f"{_random(6)}.{_random(16)}").partition(".")
    return JoinToken(id, secret, (now or datetime.now(UTC)) + ttl if ttl else None, tuple(usages), description=description)


def split(text: str) -> tuple[str, str]:
    """Id and secret. Raises `BadToken`."""
    match = _TOKEN.fullmatch(text)
    if not match:
        raise BadToken("the token is not of the form abcdef.0123456789abcdef")
    return match[1], match[2]


def secret_of(token: JoinToken) -> Object:
    """The Secret that is the token."""
    data = {"token-id": token.id, "token-secret": token.secret}
    data |= {"description": token.description} if token.description else {}
    data |= {"expiration": format_time(token.expires)} if token.expires else {}
    data |= {f"usage-bootstrap-{usage}": "true" for usage in token.usages}
    data |= {"auth-extra-groups": token.groups} if "authentication" in token.usages else {}
    metadata = {"name": f"{bootstraptokens.PREFIX}{token.id}", "namespace": bootstraptokens.NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": bootstraptokens.TYPE, "stringData": data}


def token_of(secret: Object) -> JoinToken:
    """The token that a Secret is."""
    data = bootstraptokens.data_of(secret)
    try:
        expires = bootstraptokens.expiry(secret)
    except ValueError:
        expires = datetime.fromtimestamp(0, UTC)
    usages = tuple(usage for usage in USAGES if data.get(f"usage-bootstrap-{usage}") == "true")
    groups, description = data.get("auth-extra-groups", ""), data.get("description", "")
    return JoinToken(data.get("token-id", ""), data.get("token-secret", ""), expires, usages, groups, description)


async def create(client: Client, token: JoinToken) -> None:
    """Raises `BadToken` when there is one with that id."""
    try:
        await client.create(SECRETS, bootstraptokens.NAMESPACE, secret_of(token))
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
        raise BadToken(f"there is a token {token.id} already; withdraw it with: tiffin token delete {token.id}") from error


async def tokens(client: Client) -> list[JoinToken]:
    """All tokens, by id."""
    found = await client.list(SECRETS, bootstraptokens.NAMESPACE, fields=f"type={bootstraptokens.TYPE}")
    return sorted((token_of(secret) for secret in found.items), key=lambda token: token.id)


async def delete(client: Client, text: str) -> None:
    """Withdraws the token of that id or text. Raises `BadToken`."""
    id = text.partition(".")[0]
    try:
        await client.delete(SECRETS, bootstraptokens.NAMESPACE, f"{bootstraptokens.PREFIX}{id}")
    except ApiError as error:
        if error.code != 404:
            raise
        raise BadToken(f"there is no token {id}") from error


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
