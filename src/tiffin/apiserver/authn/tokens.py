"""Bearer tokens other than service accounts': the port for all of them, static tokens and bootstrap tokens.

A token authenticator answers None for what is not its kind of token and raises Refused for what is, but is not good. What it
finds is cached by the text of the token, so each session carries its end and a cheap check that its ground still stands.
Source: Kubernetes documentation "Authenticating", "Authenticating with Bootstrap Tokens".
"""

from __future__ import annotations

import base64
import csv
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from tiffin.apiserver.ports import Reader
from tiffin.apiserver.user import AUTHENTICATED, MASTERS, User
from tiffin.machinery.object import Object, Resource
from tiffin.machinery.timestamps import parse_time

SECRETS = Resource("", "v1", "secrets")

BOOTSTRAPPERS = "system:bootstrappers"
_BOOTSTRAP_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_BOOTSTRAP_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


class Refused(Exception):
    """A token of this kind that is not (or no longer) good. The message holds nothing of the token."""


class Unready(Exception):
    """Whether a token is good cannot be said before `wait` has returned; then the same question has an answer."""

    def __init__(self, wait: Callable[[], Awaitable[None]]) -> None:
        super().__init__("the keys of the issuer are being fetched")
        self.wait = wait


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Session:
    """What a token stands for. `expires` is in seconds since the epoch; `stands` says whether its ground is still there."""

    user: User
    expires: float = float("inf")
    stands: Callable[[], bool] = _always
    audiences: tuple[str, ...] = ()
    """Those of the requested audiences that the token is good for; empty for tokens that know no audience."""


class TokenAuthenticator(Protocol):
    """One kind of bearer token."""

    def session(self, token: str, audiences: Sequence[str]) -> Session | None: ...


class Authentication(NamedTuple):
    """Whom an administrator trusts beside this server. `anonymous_paths` is None where anonymous requests are welcome on every path."""

    issuers: tuple[TokenAuthenticator, ...] = ()
    anonymous: bool = True
    anonymous_paths: frozenset[str] | None = None


NOBODY_ELSE = Authentication()


class StaticTokens:
    """Tokens of a file of lines `token,user,uid[,"group,group"]`; only their digests are kept in memory."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._users: list[tuple[bytes, User]] = []
        for number, row in enumerate(csv.reader(lines, skipinitialspace=True), 1):
            if not row or row[0].startswith("#"):
                continue
            if len(row) < 3 or not row[0] or not row[1]:
                raise ValueError(f"token file, line {number}: expected token,user,uid and optionally groups")
            groups = tuple(g.strip() for g in row[3].split(",")) if len(row) > 3 and row[3] else ()
            self._users.append((_digest(row[0]), User(row[1], row[2], (*groups, AUTHENTICATED))))

    @classmethod
    def load(cls, path: Path) -> StaticTokens:
        with path.open(newline="") as lines:
            return cls(lines)

    def session(self, token: str, audiences: Sequence[str]) -> Session | None:
        digest, found = _digest(token), None
        for known, user in self._users:  # every entry is compared, so that the time tells nothing
            if hmac.compare_digest(known, digest):
                found = user
        return Session(found) if found else None


def ensure_admin_token(path: Path) -> str:
    """The administrator's token in a token file of mode 0600, made on the first call."""
    try:
        return path.read_text().partition(",")[0]
    except FileNotFoundError:
        token = secrets.token_hex(32)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f'{token},admin,admin,"{MASTERS}"\n')
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    return token


class BootstrapTokens:
    """Join tokens `<id>.<secret>`, kept as Secrets `bootstrap-token-<id>` in kube-system."""

    def __init__(self, reader: Reader, now: Callable[[], float]) -> None:
        self._reader, self._now = reader, now

    def session(self, token: str, audiences: Sequence[str]) -> Session | None:
        match = _BOOTSTRAP_TOKEN.fullmatch(token)
        if not match:
            return None
        name = f"bootstrap-token-{match[1]}"
        secret = self._reader.get(SECRETS, "kube-system", name)
        data = _data(secret) if secret else {}
        if secret is None or not self._is_good(secret, data, match[1], match[2]):
            raise Refused("bootstrap token is not valid")
        user = User(f"system:bootstrap:{match[1]}", groups=(BOOTSTRAPPERS, *_extra_groups(data), AUTHENTICATED))

        def stands() -> bool:
            return self._reader.get(SECRETS, "kube-system", name) is secret

        return Session(user, _expiry(data), stands)

    def _is_good(self, secret: Object, data: dict[str, str], token_id: str, token_secret: str) -> bool:
        return (
            secret.get("type") == "bootstrap.kubernetes.io/token"
            and not secret["metadata"].get("deletionTimestamp")
            and hmac.compare_digest(_digest(data.get("token-secret", "")), _digest(token_secret))
            and data.get("token-id") == token_id
            and data.get("usage-bootstrap-authentication") == "true"
            and self._now() < _expiry(data)
        )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _data(secret: Object) -> dict[str, str]:
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in (secret.get("data") or {}).items()}


def _extra_groups(data: dict[str, str]) -> list[str]:
    groups = [group.strip() for group in data.get("auth-extra-groups", "").split(",") if group.strip()]
    if not all(_BOOTSTRAP_GROUP.fullmatch(group) for group in groups):
        raise Refused("bootstrap token has invalid groups")
    return sorted(set(groups))


def _expiry(data: dict[str, str]) -> float:
    """When the token ends; one whose end cannot be read has ended, as in Kubernetes."""
    if not data.get("expiration"):
        return float("inf")
    try:
        return parse_time(data["expiration"]).timestamp()
    except ValueError:
        return 0.0
