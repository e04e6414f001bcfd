"""Who sent a request: certificate, then bearer token, then nobody.

Rules: a bad token is a 401 on every path, even where anonymous requests are welcome; an empty one or another scheme is
anonymous. After the first time a token costs a dictionary look-up and the look-ups of what it is bound to. Nothing of a token
is ever logged or put into an error. Source: kube-apiserver's authenticator union as visible from outside.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import replace

from tiffin.apiserver.authn.certificate import Certificates
from tiffin.apiserver.authn.tokens import Refused, Session, TokenAuthenticator
from tiffin.apiserver.user import ANONYMOUS_USER, User
from tiffin.machinery import errors
from tiffin.net.http import Request

_KEPT = 8192
_WEBSOCKET_PREFIX = "base64url.bearer.authorization.k8s.io."


class Authenticator:
    """Finds the user of a request. `audiences` are those this server accepts in tokens."""

    def __init__(
        self,
        tokens: Sequence[TokenAuthenticator],
        audiences: Sequence[str],
        now: Callable[[], float],
        anonymous: bool = True,
        anonymous_paths: frozenset[str] | None = None,
    ) -> None:
        """`anonymous_paths` are the only ones where requests without credentials are welcome; None: everywhere."""
        self.audiences = tuple(audiences)
        self._tokens, self._now = tuple(tokens), now
        self._anonymous = ANONYMOUS_USER if anonymous else None
        self._anonymous_paths = anonymous_paths
        self._certificates = Certificates(now)
        self._sessions: dict[str, Session] = {}

    def authenticate(self, request: Request) -> User | None:
        """The user of the request; None where it brought no credentials and anonymous requests are off.

        Raises a 401, or Unready.
        """
        if request.peer_certificate is not None:
            try:
                session = self._certificates.session(request.peer_certificate)
            except (Refused, ValueError) as error:
                raise errors.unauthorized() from error
            if session:
                return session.user
        header = request.headers.get("authorization")
        if header is not None:
            token = bearer(header)
        elif "sec-websocket-protocol" in request.headers:
            token = _websocket_token(request.headers)
        else:
            token = ""
        if token:
            return self._by_token(token)
        return self._anonymous if self._anonymous_paths is None or request.raw_path in self._anonymous_paths else None

    def review(self, token: str, audiences: Sequence[str]) -> Session:
        """The session of a token for some of `audiences` (those of this server when empty), past every cache. Raises Refused or Unready."""
        complaints = ["invalid bearer token"]
        for authenticator in self._tokens:
            try:
                session = authenticator.session(token, audiences or self.audiences)
            except Refused as refusal:
                complaints.append(str(refusal))
            else:
                if session and session.audiences:
                    return session
                if session and (common := tuple(a for a in self.audiences if a in audiences or not audiences)):
                    return replace(session, audiences=common)
        raise Refused(complaints[0] if len(complaints) == 1 else f"[{', '.join(complaints)}]")

    def _by_token(self, token: str) -> User:
        session = self._sessions.get(token)
        if session is not None:
            if self._now() < session.expires and session.stands():
                return session.user
            del self._sessions[token]
        try:
            session = self.review(token, self.audiences)
        except Refused as refusal:
            raise errors.unauthorized() from refusal
        if len(self._sessions) >= _KEPT:
            self._sessions.clear()
        self._sessions[token] = session
        return session.user


def bearer(header: str) -> str:
    """The token of an Authorization header; "" where it is of another scheme or empty. Raises 401 for what can be no token."""
    scheme, _, rest = header.partition(" ")
    token = rest.partition(" ")[0] if scheme.lower() == "bearer" else ""
    if not token.isascii():
        raise errors.unauthorized()
    return token


def _websocket_token(headers: dict[str, str]) -> str:
    """The token a browser hid among the subprotocols; it is taken out, so that it is never answered or logged."""
    offered = [protocol.strip() for protocol in headers["sec-websocket-protocol"].split(",")]
    hidden = [p for p in offered if p.startswith(_WEBSOCKET_PREFIX)]
    if not hidden:
        return ""
    others = [p for p in offered if not p.startswith(_WEBSOCKET_PREFIX)]
    if len(hidden) > 1 or not others:
        raise errors.unauthorized()
    headers["sec-websocket-protocol"] = ", ".join(others)
    encoded = hidden[0][len(_WEBSOCKET_PREFIX) :]
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise errors.unauthorized() from error
