"""One issuer: its keys, as it publishes them, and the tokens it signs.

Rules
* Keys come from the issuer's own discovery document over TLS, which must name the issuer itself. Redirects are not followed, bodies are
  bounded, and nothing of them goes into an error.
* An unknown key makes the keys be fetched anew, at most every ten seconds; the request waits for that once.
* A token must be signed by a key the issuer publishes, bear the issuer's name and one of the audiences, and be within its times.
Source: OpenID Connect Discovery 1.0; RFC 7517; KEP-3331.
"""
from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson

from tiffin.apiserver.authn.oidc.mapping import Mapper
from tiffin.apiserver.authn.tokens import Refused, Session, Unready
from tiffin.net import jwa, jws
from tiffin.net.httpclient import Origin, Pool

logger = logging.getLogger(__name__)
LONGEST = 1 << 20
FETCH_TIMEOUT = 10.0
FETCH_AGAIN = 10.0
NOT_BEFORE_LEEWAY = 300


class IssuerUnavailable(Exception):
    """The issuer's keys could not be fetched."""


class Issuer:
    """A trusted issuer of tokens."""

    def __init__(
        self, url: str, discovery_url: str, audiences: Sequence[str], tls: ssl.SSLContext, mapper: Mapper, now: Callable[[], float],
    ) -> None:
        self.url = url
        self._discovery = discovery_url or f"{url.rstrip('/')}/.well-known/openid-configuration"
        self._audiences, self._tls, self._mapper, self._now = tuple(audiences), tls, mapper, now
        self._keys: dict[str, list[tuple[Any, str]]] = {}
        self._fetched = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    def session(self, token: str, audiences: Sequence[str]) -> Session | None:
        """The session of a token of this issuer; None for others'. Raises Refused, or Unready while keys are to be fetched."""
        try:
            if jws.unverified_claims(token).get("iss") != self.url:
                return None
            claims = self._verified(token)
        except jws.InvalidToken as error:
            raise Refused(f"oidc: malformed jwt: {error}") from error
        self._check(claims)
        return Session(self._mapper.user(claims), float(claims["exp"]))

    def _verified(self, token: str) -> dict[str, Any]:
        head, payload, signature = token.split(".")
        header = jws.decode_object(head)
        algorithm, kid = header.get("alg"), header.get("kid") or ""
        if algorithm not in jwa.ALGORITHMS or "crit" in header or not isinstance(kid, str):
            raise Refused("oidc: id token signed with unsupported algorithm")
        keys = self._keys.get(kid) if kid else [key for keys in self._keys.values() for key in keys]
        if not keys:
            if self._now() - self._fetched >= FETCH_AGAIN:
                raise Unready(self.fetch)
            raise Refused("oidc: failed to verify signature: no key of the issuer has this id")
        signed = f"{head}.{payload}".encode()
        raw = jws.decode(signature)
        if not any((not named or named == algorithm) and jwa.verify(algorithm, key, raw, signed) for key, named in keys):
            raise Refused("oidc: failed to verify signature")
        return jws.decode_object(payload)

    def _check(self, claims: Mapping[str, Any]) -> None:
        own = claims.get("aud") or []
        own = [own] if isinstance(own, str) else own
        if not isinstance(own, list) or not any(audience in self._audiences for audience in own):
            raise Refused("oidc: expected audience in token is not among those configured")
        now, expires, not_before = self._now(), claims.get("exp"), claims.get("nbf") or 0
        if isinstance(expires, bool) or not isinstance(expires, int | float) or now >= expires:
            raise Refused("oidc: token is expired")
        if not isinstance(not_before, int | float) or now + NOT_BEFORE_LEEWAY < not_before:
            raise Refused("oidc: token is not valid yet")

    # ---- keys

    async def fetch(self) -> None:
        """Fetches the keys; those who ask at the same time wait for the same answer. What fails is logged: old keys stay good."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch(), name=f"keys of {self.url}")
        await asyncio.shield(self._fetching)

    async def _fetch(self) -> None:
        try:
            document = await self._get(self._discovery)
            if document.get("issuer") != self.url:
                raise IssuerUnavailable("the discovery document names another issuer")
            keys: dict[str, list[tuple[Any, str]]] = {}
            for jwk in (await self._get(str(document.get("jwks_uri")))).get("keys") or ():
                if isinstance(jwk, dict) and jwk.get("use") in (None, "sig"):
                    self._add(keys, jwk)
            self._keys = keys
        except (IssuerUnavailable, OSError, ValueError) as error:
            logger.warning("keys of issuer %s: %s", self.url, error)
        finally:
            self._fetched = self._now()
            self._fetching = None

    def _add(self, keys: dict[str, list[tuple[Any, str]]], jwk: dict[str, Any]) -> None:
        try:
            key = jwa.key_from_jwk(jwk)
        except jwa.BadKey as error:
            logger.info("a key of issuer %s: %s", self.url, error)
            return
        keys.setdefault(str(jwk.get("kid") or ""), []).append((key, str(jwk.get("alg") or "")))

    async def _get(self, url: str) -> dict[str, Any]:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise IssuerUnavailable("its documents must be reached by https")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        pool = Pool(Origin(parts.hostname, parts.port or 443, self._tls), idle=0)
        async with await pool.request("GET", target, {"Accept": "application/json"}, timeout=FETCH_TIMEOUT) as answer:
            if answer.status != 200:
                raise IssuerUnavailable(f"{url} answered {answer.status}")
            found = orjson.loads(await answer.body(LONGEST))
        if not isinstance(found, dict):
            raise IssuerUnavailable(f"{url} is no object")
        return found
