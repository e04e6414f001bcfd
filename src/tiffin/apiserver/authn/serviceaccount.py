"""Service-account tokens: issuing them and telling whether one is still good.

Bound tokens carry audiences, times and, under "kubernetes.io", the objects they live and die with: the account always, a pod,
secret or node perhaps. All of these must still exist with the same UID. Legacy tokens are those of Secrets of the type
kubernetes.io/service-account-token; they end when the account or the Secret goes.
Sources: KEP-1205, KEP-4193 (node and jti claims), Kubernetes documentation "Managing Service Accounts".
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiffin.apiserver.authn.tokens import SECRETS, Refused, Session
from tiffin.apiserver.ports import Reader
from tiffin.apiserver.user import AUTHENTICATED, User, service_account_groups, service_account_name
from tiffin.machinery.object import Object, Resource, dig, name_of, uid_of
from tiffin.machinery.timestamps import parse_time
from tiffin.net import jws

SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts")
PODS = Resource("", "v1", "pods")
NODES = Resource("", "v1", "nodes")

LEGACY_ISSUER = "kubernetes/serviceaccount"
DEFAULT_ISSUER = "https://kubernetes.default.svc.cluster.local"
_EXTRA = "authentication.kubernetes.io/"
CREDENTIAL_ID = f"{_EXTRA}credential-id"
NODE_NAME = f"{_EXTRA}node-name"

_DELETION_LEEWAY = 60
"""Seconds for which the token of a pod past its deletion timestamp stays good, for clocks that differ."""


@dataclass(frozen=True, slots=True)
class Binding:
    """The object a token is bound to beside its account, and the node of a bound pod."""

    kind: str = ""
    name: str = ""
    uid: str = ""
    node: str = ""
    node_uid: str = ""


class TokenIssuer:
    """Signs tokens in the name of one issuer."""

    def __init__(self, key: jws.PrivateKey, issuer: str = DEFAULT_ISSUER) -> None:
        self._key, self.issuer = key, issuer

    def bound(
        self, account: Object, audiences: Sequence[str], binding: Binding, now: int, expires: int, warn_after: int = 0, jti: str = ""
    ) -> str:
        """A token for `account`; times are seconds since the epoch."""
        namespace = account["metadata"]["namespace"]
        private: dict[str, Any] = {"namespace": namespace, "serviceaccount": _reference(account)}
        if binding.kind:
            private[binding.kind.lower()] = {"name": binding.name, "uid": binding.uid}
        if binding.node:
            private["node"] = {"name": binding.node} | ({"uid": binding.node_uid} if binding.node_uid else {})
        if warn_after:
            private["warnafter"] = warn_after
        claims = {"aud": list(audiences), "exp": expires, "iat": now, "nbf": now, "iss": self.issuer, "jti": jti or str(uuid.uuid4())}
        claims |= {"kubernetes.io": private, "sub": service_account_name(namespace, name_of(account))}
        return self._key.sign(dict(sorted(claims.items())))

    def legacy(self, account: Object, secret: str) -> str:
        """A token without end for the Secret of that name."""
        namespace, name = account["metadata"]["namespace"], name_of(account)
        prefix = "kubernetes.io/serviceaccount/"
        claims = {"iss": LEGACY_ISSUER, f"{prefix}namespace": namespace, f"{prefix}secret.name": secret}
        claims |= {f"{prefix}service-account.name": name, f"{prefix}service-account.uid": uid_of(account)}
        return self._key.sign(claims | {"sub": service_account_name(namespace, name)})

    def jwks(self) -> Object:
        """The body of /openid/v1/jwks."""
        return {"keys": [self._key.public.jwk()]}

    def discovery(self, url: str) -> Object:
        """The body of /.well-known/openid-configuration; `url` is where clients reach this server."""
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{url}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self._key.public.algorithm],
        }


def _reference(obj: Object) -> dict[str, str]:
    return {"name": name_of(obj), "uid": uid_of(obj)}


class ServiceAccountTokens:
    """Authenticates the tokens of a TokenIssuer."""

    def __init__(self, reader: Reader, keys: Sequence[jws.PublicKey], now: Callable[[], float], issuer: str = DEFAULT_ISSUER) -> None:
        self._reader, self._keys, self._now, self._issuer = reader, tuple(keys), now, issuer

    def session(self, token: str, audiences: Sequence[str]) -> Session | None:
        """The session of a service-account token for at least one of `audiences`. Raises Refused."""
        try:
            issuer = jws.unverified_claims(token).get("iss")
            if issuer not in (self._issuer, LEGACY_ISSUER):
                return None
            claims = jws.verify(token, self._keys)
        except jws.InvalidToken:
            return None
        if claims["iss"] == LEGACY_ISSUER:
            return self._legacy(token, claims)
        return self._bound(claims, audiences)

    def _bound(self, claims: Mapping[str, Any], audiences: Sequence[str]) -> Session:
        own = claims.get("aud") or []
        own = [own] if isinstance(own, str) else own
        common = tuple(audience for audience in own if audience in audiences)
        if not common:
            raise Refused(f"token audiences {_quoted(own)} is invalid for the target audiences {_quoted(audiences)}")
        now, expires = self._now(), claims.get("exp")
        if not isinstance(expires, int) or now >= expires:
            raise Refused("service account token has expired")
        if now < claims.get("nbf", 0):
            raise Refused("service account token is not valid yet")
        private = claims.get("kubernetes.io")
        if not isinstance(private, dict):
            raise Refused("Malformed token: no private claims")
        namespace, account = private.get("namespace"), private.get("serviceaccount") or {}
        subject = service_account_name(str(namespace), str(account.get("name")))
        if claims.get("sub") != subject:
            raise Refused("Malformed token: subject and private claims differ")
        self._check(private)

        def stands() -> bool:
            try:
                self._check(private)
            except Refused:
                return False
            return True

        user = User(subject, account.get("uid", ""), (*service_account_groups(str(namespace)), AUTHENTICATED), _extra(claims, private))
        return Session(user, expires, stands, common)

    def _check(self, private: Mapping[str, Any]) -> None:
        """Raises Refused unless everything the token is bound to still exists."""
        namespace, account = private["namespace"], private["serviceaccount"]
        found = self._account(namespace, account["name"])
        if uid_of(found) != account.get("uid"):
            raise Refused(f"service account UID ({uid_of(found)}) does not match claim ({account.get('uid')})")
        for claim, resource in (("secret", SECRETS), ("pod", PODS)):
            if reference := private.get(claim):
                self._check_bound(resource, namespace, reference)
        if (node := private.get("node")) and not private.get("pod"):
            self._check_bound(NODES, "", node)

    def _account(self, namespace: str, name: str) -> Object:
        found = self._reader.get(SERVICE_ACCOUNTS, namespace, name)
        if found is None:
            raise Refused(f'serviceaccounts "{name}" not found')
        if self._is_gone(found):
            raise Refused("service account has been deleted")
        return found

    def _check_bound(self, resource: Resource, namespace: str, reference: Mapping[str, str]) -> None:
        found = self._reader.get(resource, namespace, reference.get("name", ""))
        if found is None or uid_of(found) != reference.get("uid") or self._is_gone(found):
            raise Refused("service account token has been invalidated")

    def _is_gone(self, obj: Object) -> bool:
        deleted = obj["metadata"].get("deletionTimestamp")
        return bool(deleted) and parse_time(deleted).timestamp() + _DELETION_LEEWAY < self._now()

    def _legacy(self, token: str, claims: Mapping[str, Any]) -> Session:
        prefix = "kubernetes.io/serviceaccount/"
        namespace, secret = str(claims.get(f"{prefix}namespace")), str(claims.get(f"{prefix}secret.name"))
        name, uid = str(claims.get(f"{prefix}service-account.name")), str(claims.get(f"{prefix}service-account.uid"))
        encoded = base64.b64encode(token.encode()).decode()

        def check() -> None:
            found = self._reader.get(SECRETS, namespace, secret)
            if found is None or dig(found, "data", "token") != encoded:
                raise Refused("service account token has been invalidated")
            if uid_of(self._account(namespace, name)) != uid:
                raise Refused("service account UID does not match claim")

        def stands() -> bool:
            try:
                check()
            except Refused:
                return False
            return True

        check()
        user = User(service_account_name(namespace, name), uid, (*service_account_groups(namespace), AUTHENTICATED))
        return Session(user, stands=stands)


def _extra(claims: Mapping[str, Any], private: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    extra: dict[str, tuple[str, ...]] = {}
    if claims.get("jti"):
        extra[CREDENTIAL_ID] = (f"JTI={claims['jti']}",)
    for claim in ("node", "pod"):
        for part in ("name", "uid"):
            if value := (private.get(claim) or {}).get(part):
                extra[f"{_EXTRA}{claim}-{part}"] = (value,)
    return extra


def _quoted(values: Sequence[str]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"
