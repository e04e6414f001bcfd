"""What is known of a request while it is carried out."""
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from tiffin.apiserver.user import ANONYMOUS_USER, User
from tiffin.machinery import errors
from tiffin.machinery.object import Resource

if TYPE_CHECKING:
    from tiffin.apiserver.audit.event import Record
    from tiffin.apiserver.flowcontrol.control import Flow

SPECIAL_VERBS = {"proxy": "proxy"}
VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
NO_RESOURCE = Resource("", "", "")
_NO_NAME = re.compile(r"[/%\x00-\x1f\x7f]").search
BOOLEAN_TRUE = ("1", "t", "T", "true", "True", "TRUE")


@dataclass(slots=True)
class RequestInfo:
    """The path and method in the API's terms. Source: apiserver `RequestInfo`.

    `verb` is get, list, watch, create, update, patch, delete or deletecollection; for other paths the lower-case method.
    """

    verb: str
    path: str
    is_resource: bool = False
    resource: Resource = NO_RESOURCE
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    """What follows a proxy subresource."""
    deprecated_watch: bool = False


@dataclass(slots=True)
class Query:
    """Query parameters, read on demand; of one given several times the first counts."""

    values: Mapping[str, list[str]]

    @classmethod
    def parse(cls, text: str) -> Query:
        values: dict[str, list[str]] = {}
        if text:
            for name, value in parse_qsl(text, keep_blank_values=True):
                values.setdefault(name, []).append(value)
        return cls(values)

    def text(self, name: str) -> str:
        found = self.values.get(name)
        return found[0] if found else ""

    def flag(self, name: str) -> bool:
        """A boolean option: only `false` and `0` are false, even nothing counts as true, as in Kubernetes."""
        found = self.values.get(name)
        return found is not None and found[0] != "0" and found[0].lower() != "false"

    def number(self, name: str) -> int | None:
        """A 64-bit integer; raises 400 in the words of Go's strconv."""
        found = self.text(name)
        if not found:
            return None
        if not re.fullmatch(r"[+-]?[0-9]+", found):
            raise errors.bad_request(f'strconv.ParseInt: parsing "{found}": invalid syntax')
        if len(found) > 20 or not -1 << 63 <= int(found) < 1 << 63:
            raise errors.bad_request(f'strconv.ParseInt: parsing "{found}": value out of range')
        return int(found)


@dataclass(slots=True)
class RequestContext:
    """One request on its way through the server."""

    info: RequestInfo
    query: Query
    headers: Mapping[str, str]
    user: User = ANONYMOUS_USER
    audit_id: str = ""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    warnings: list[str] = field(default_factory=list)
    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = ""
    peer: str = ""
    flow: Flow | None = None
    """The flow of priority and fairness it belongs to; None for streams, and before it is known."""
    audit: Record | None = None
    """What the audit log notes of it; None where it notes nothing."""

    @property
    def manager(self) -> str:
        """The name that owns the fields this request changes: the parameter, or the client's name in User-Agent."""
        if self.field_manager:
            return self.field_manager
        agent = self.headers.get("user-agent", "").partition("/")[0]
        if not agent.isprintable():  # also refuses what was no UTF-8
            agent = "".join(c for c in agent if c.isprintable())
        return agent[:128] or "unknown"


def request_info(method: str, raw_path: str, query: Query) -> RequestInfo:
    """Takes a path apart. Raises 400 for what can be no part of a key: empty, `.`, `..`, encoded slashes, control characters."""
    path = unquote(raw_path)
    info = RequestInfo(method.lower(), path)
    parts = [unquote(part) for part in raw_path.split("/") if part]
    if len(parts) >= 2 and parts[0] == "api":
        group, version, tail = "", parts[1], parts[2:]
    elif len(parts) >= 3 and parts[0] == "apis":
        group, version, tail = parts[1], parts[2], parts[3:]
    else:
        return info
    if tail and tail[0] == "watch":
        info.deprecated_watch, tail = True, tail[1:]
    if not tail:
        return info
    if tail[0] == "namespaces" and len(tail) > 1:
        info.namespace = tail[1]
        if len(tail) > 2 and not (len(tail) == 3 and tail[2] in ("status", "finalize")):
            tail = tail[2:]
    info.is_resource = True
    info.resource = Resource(group, version, tail[0])
    info.name = tail[1] if len(tail) > 1 else ""
    info.subresource = tail[2] if len(tail) > 2 else ""
    info.rest = _proxy_rest(raw_path, len(parts) - len(tail) + 3) if len(tail) > 2 else ""
    for part in (info.namespace, *tail[:3]):
        _check_segment(part)
    info.verb = _verb(method, info, query)
    return info


def _proxy_rest(raw_path: str, skip: int) -> str:
    """The path behind the subresource, still encoded, with its leading and trailing slash."""
    pieces = raw_path.split("/")
    return "/".join(["", *pieces[skip + 1:]]) if len(pieces) > skip + 1 else ""


def _check_segment(part: str) -> None:
    if part in (".", "..") or _NO_NAME(part):
        raise errors.bad_request(f"the path segment {part!r} is not a name")


def _verb(method: str, info: RequestInfo, query: Query) -> str:
    verb = VERBS.get(method, "")
    if verb == "get" and not info.subresource:
        if info.deprecated_watch or (not info.name and query.flag("watch")):
            return "watch"
        return "get" if info.name else "list"
    if verb == "delete" and not info.name:
        return "deletecollection"
    return verb
