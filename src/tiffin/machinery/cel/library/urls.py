"""URLs: url, isURL, getScheme, getHost, getHostname, getPort, getEscapedPath, getQuery.

A text is a URL when Go's url.ParseRequestURI takes it: an absolute URI or an absolute path, without fragment.
Source: Kubernetes' urls library; RFC 3986; Go's net/url.
"""
from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote_plus, unquote_to_bytes

from tiffin.machinery.cel.errors import EvaluationError
from tiffin.machinery.cel.functions import Library
from tiffin.machinery.cel.types import Type, struct

URL_TYPE = struct("kubernetes.URL", {})
URLS = Library([URL_TYPE])

_scheme = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL).fullmatch
_bad_escape = re.compile(r"%(?![0-9a-fA-F]{2}).{0,2}", re.DOTALL).search
_bad_host = re.compile(r"[\x00- #?/\\^`{|}@]").search
_bad_user = re.compile(r"[^A-Za-z0-9\-._:~!$&'()*+,;=%@]").search
_PATH_SAFE = "$&+,/:;=@!'()*~-._"


class Url(NamedTuple):
    """The parts of a URL; `host` has the port, `path` is escaped."""

    scheme: str
    host: str
    path: str
    query: str


class UrlValue:
    """A URL that was parsed."""

    __slots__ = ("cel_type", "url")

    def __init__(self, url: Url) -> None:
        self.cel_type: Type = URL_TYPE
        self.url = url

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UrlValue) and self.url == other.url

    __hash__ = None  # type: ignore[assignment]


def parse_url(text: str) -> Url:
    """The parts of a URL. Raises ValueError with Go's message."""
    try:
        return _parse(text)
    except ValueError as error:
        raise ValueError(f'parse "{text}": {error}') from None


def _parse(text: str) -> Url:
    if any(char < " " or char == "\x7f" for char in text):
        raise ValueError("net/url: invalid control character in URL")
    if not text:
        raise ValueError("empty url")
    if text.startswith(":"):
        raise ValueError("missing protocol scheme")
    match = _scheme(text)
    scheme, rest = (match[1].lower(), match[2]) if match else ("", text)
    rest, _, query = rest.partition("?")
    if not rest.startswith("/"):
        if scheme:
            return Url(scheme, "", "", query)
        raise ValueError("invalid URI for request")
    host = ""
    if scheme and rest.startswith("//"):
        authority, slash, rest = rest[2:].partition("/")
        host, rest = _host(authority), slash + rest
    return Url(scheme, host, _path(rest), query)


def _check_escapes(text: str) -> None:
    bad = _bad_escape(text)
    if bad:
        raise ValueError(f'invalid URL escape "{bad[0]}"')


def _path(text: str) -> str:
    _check_escapes(text)
    return text if re.fullmatch(r"[A-Za-z0-9%\[\]" + re.escape(_PATH_SAFE) + "]*", text) else quote(unquote_to_bytes(text), safe=_PATH_SAFE)


def _host(authority: str) -> str:
    user, _, host = authority.rpartition("@")
    if _bad_user(user):
        raise ValueError("net/url: invalid userinfo")
    _check_escapes(user)
    if host.startswith("["):
        inside, bracket, port = host.partition("]")
        if not bracket:
            raise ValueError("missing ']' in host")
    else:
        inside, colon, number = host.rpartition(":")
        inside, port = (inside, colon + number) if colon else (host, "")
    if port and not (port[0] == ":" and (port[1:].isdecimal() or not port[1:])):
        raise ValueError(f'invalid port "{port}" after host')
    bad = _bad_host(inside)
    if bad:
        raise ValueError(f'invalid character "{bad[0]}" in host name')
    _check_escapes(inside)
    return host


def _hostname(value: UrlValue) -> str:
    host = value.url.host
    return host[1:].partition("]")[0] if host.startswith("[") else host.rpartition(":")[0] if ":" in host else host


def _port(value: UrlValue) -> str:
    host = value.url.host
    return host.rpartition("]")[2].lstrip(":") if host.startswith("[") else host.rpartition(":")[2] if ":" in host else ""


def _query(value: UrlValue) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for pair in value.url.query.split("&"):
        key, _, item = pair.partition("=")
        if pair and ";" not in pair and not _bad_escape(pair):
            found.setdefault(unquote_plus(key), []).append(unquote_plus(item))
    return found


def _url(text: str) -> UrlValue:
    try:
        return UrlValue(parse_url(text))
    except ValueError as error:
        raise EvaluationError(f"URL parse error during conversion from string: {error}") from None


def _is_url(text: str) -> bool:
    try:
        return bool(parse_url(text))
    except ValueError:
        return False


_add = URLS.add
_add("url", "string_to_url", "(string) -> kubernetes.URL", _url)
_add("isURL", "is_url_string", "(string) -> bool", _is_url)
_add("getScheme", "url_get_scheme", "kubernetes.URL.() -> string", lambda value: value.url.scheme)
_add("getHost", "url_get_host", "kubernetes.URL.() -> string", lambda value: value.url.host)
_add("getHostname", "url_get_hostname", "kubernetes.URL.() -> string", _hostname)
_add("getPort", "url_get_port", "kubernetes.URL.() -> string", _port)
_add("getEscapedPath", "url_get_escaped_path", "kubernetes.URL.() -> string", lambda value: value.url.path)
_add("getQuery", "url_get_query", "kubernetes.URL.() -> map(string, list(string))", _query)
