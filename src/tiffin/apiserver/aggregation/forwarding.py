"""Passing a request on to the server that answers its group version.

Rules
* The backend is told who asks by the X-Remote-* headers, and believes them because of the front proxy's client certificate. Nothing
  of the kind that the caller sent goes on, nor do the caller's credentials.
* The backend's certificate must be good for `<service>.<namespace>.svc`, unless the APIService waives that.
* What was authorized is what is asked: a path that the backend might take for another one is refused.
* Redirects are refused (CVE-2022-3172). A connection is tunnelled only after the backend's own 101 (CVE-2018-1002105).
* Who leaves takes the backend's connection along; answers, watches too, are passed on as they come.
"""
from __future__ import annotations

import ssl
from urllib.parse import quote, unquote

from tiffin.apiserver.aggregation.remote import Remote
from tiffin.apiserver.context import RequestContext
from tiffin.apiserver.health import text
from tiffin.apiserver.proxying import PRIVATE, PRIVATE_PREFIXES
from tiffin.apiserver.streaming import REDIRECTED
from tiffin.apiserver.user import User
from tiffin.machinery import errors
from tiffin.machinery.errors import ApiError
from tiffin.net.http import Request, Response
from tiffin.net.relay import end_to_end, relayed, upgrade_headers

ANSWER_TIMEOUT = 60.0
UNAVAILABLE = "service unavailable\n"


async def forward(remote: Remote, context: RequestContext, request: Request) -> Response:
    """The backend's answer; 503 while it is unavailable. Raises a 400 for a path that might mean another one there than here."""
    if any(unquote(part) in (".", "..") for part in request.raw_path.split("/")):
        raise errors.bad_request("the path of a request for another server may not contain . or .. as a segment")
    if not remote.available:
        return text(UNAVAILABLE, 503)
    try:
        pool = remote.pool()
    except (ApiError, ssl.SSLError, ValueError):  # a CA bundle may be anything
        return text(UNAVAILABLE, 503)
    try:
        answer = await pool.request(
            request.method, request.target, headers_for(context.user, request, context.audit_id), request.body, timeout=ANSWER_TIMEOUT)
    except (OSError, ValueError) as error:
        return text(f"error trying to reach service: {error or 'i/o timeout'}\n", 503)
    if 300 <= answer.status < 400 and "location" in answer.headers:
        answer.close()
        raise ApiError(502, "", REDIRECTED)
    response = relayed(answer)
    response.headers = {_canonical(name): value for name, value in response.headers.items()}  # so that this server's own replace them
    return response


def _canonical(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))


def headers_for(user: User, request: Request, audit_id: str) -> list[tuple[str, str]]:
    """What the backend gets: the caller's headers without credentials, and who the caller is."""
    headers = [(k, v) for k, v in end_to_end(request.headers.items()) if k not in PRIVATE and not k.startswith(PRIVATE_PREFIXES)]
    headers = [(name, value) for name, value in headers if name != "audit-id"]
    before = request.headers.get("x-forwarded-for")
    headers += [
        ("X-Forwarded-For", f"{before}, {request.peer}" if before else request.peer),
        ("X-Forwarded-Host", request.headers.get("host", "")),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Uri", request.raw_path),
        ("Audit-Id", audit_id),
        *identity_headers(user),
    ]
    return headers + list(upgrade_headers(request.headers).items())


def identity_headers(user: User) -> list[tuple[str, str]]:
    """The X-Remote-* headers of a user. Extra keys are percent-encoded, values go as they are."""
    headers = [("X-Remote-User", _value(user.name))]
    if user.uid:
        headers.append(("X-Remote-Uid", _value(user.uid)))
    headers += [("X-Remote-Group", _value(group)) for group in user.groups]
    return headers + [
        (f"X-Remote-Extra-{quote(key.lower(), safe='!#$&*+-.^_`|~')}", _value(value)) for key, values in user.extra.items() for value in values]


def _value(text: str) -> str:
    """Header values are sent as UTF-8, which the client writes byte by byte."""
    return text.encode().decode("latin-1")
