"""The file of an AuthenticationConfiguration: trusted issuers, and who may come without credentials.

Read once, at start; what is wrong with it keeps the server from starting. Source: apiserver.config.k8s.io/v1.
"""
from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tiffin.apiserver.authn.oidc.issuer import Issuer
from tiffin.apiserver.authn.oidc.mapping import ConfigurationError, Mapper
from tiffin.apiserver.authn.tokens import Authentication
from tiffin.machinery.yamlcodec import parse_yaml
from tiffin.net.tlsclient import client_context

VERSIONS = ("apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1")
_FIELDS = {"apiVersion", "kind", "jwt", "anonymous"}
_ISSUER_FIELDS = {"issuer", "claimMappings", "claimValidationRules", "userValidationRules"}
_URL_FIELDS = {"url", "discoveryURL", "certificateAuthority", "audiences", "audienceMatchPolicy"}


def load(path: Path, now: Callable[[], float], own_issuer: str) -> Authentication:
    """Reads the file. `own_issuer` is that of service-account tokens, whom nobody else may pretend to be. Raises ConfigurationError."""
    try:
        document, problems = parse_yaml(path.read_bytes())
        if problems:
            raise ConfigurationError(str(problems[0]))
        return read(document, now, own_issuer)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"authentication config {path}: {error}") from error


def read(document: Any, now: Callable[[], float], own_issuer: str) -> Authentication:
    """The same from a decoded document."""
    if not isinstance(document, dict) or document.get("apiVersion") not in VERSIONS or document.get("kind") != "AuthenticationConfiguration":
        raise ConfigurationError("is no AuthenticationConfiguration of apiserver.config.k8s.io/v1")
    _check_fields(document, _FIELDS, "the configuration")
    given = document.get("jwt") or []
    if not isinstance(given, list):
        raise ConfigurationError("jwt: Invalid value: must be a list")
    issuers = tuple(_issuer(entry, f"jwt[{number}]", now, own_issuer) for number, entry in enumerate(given))
    urls = [issuer.url for issuer in issuers]
    for number, url in enumerate(urls):
        if url in urls[:number]:
            raise ConfigurationError(f'jwt[{number}].issuer.url: Duplicate value: "{url}"')
    return Authentication(issuers, *_anonymous(document.get("anonymous")))


def _issuer(entry: Any, where: str, now: Callable[[], float], own_issuer: str) -> Issuer:
    _check_fields(entry, _ISSUER_FIELDS, where)
    issuer = entry.get("issuer") or {}
    _check_fields(issuer, _URL_FIELDS, f"{where}.issuer")
    url, discovery = issuer.get("url") or "", issuer.get("discoveryURL") or ""
    _check_url(url, f"{where}.issuer.url")
    if url == own_issuer:
        raise ConfigurationError(f"{where}.issuer.url: Invalid value: {url!r}: URL must not overlap with disallowed issuers: [{own_issuer}]")
    if discovery:
        _check_url(discovery, f"{where}.issuer.discoveryURL")
        if discovery.rstrip("/") == url.rstrip("/"):
            raise ConfigurationError(f"{where}.issuer.discoveryURL: Invalid value: {discovery!r}: discoveryURL must be different from URL")
    audiences = issuer.get("audiences") or []
    if not isinstance(audiences, list) or not audiences or not all(isinstance(each, str) and each for each in audiences):
        raise ConfigurationError(f"{where}.issuer.audiences: Required value: at least one {where}.issuer.audiences is required")
    if len(audiences) > 1 and issuer.get("audienceMatchPolicy") != "MatchAny":
        raise ConfigurationError(f"{where}.issuer.audienceMatchPolicy: Invalid value: must be set to MatchAny when there are multiple audiences")
    try:
        tls = client_context(issuer.get("certificateAuthority") or "")
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(f"{where}.issuer.certificateAuthority: Invalid value: not a PEM bundle") from error
    return Issuer(url, discovery, audiences, tls, Mapper(entry, where), now)


def _check_url(url: str, where: str) -> None:
    parts = urlsplit(url)
    if not url:
        raise ConfigurationError(f"{where}: Required value: URL is required")
    if parts.scheme != "https" or not parts.hostname:
        raise ConfigurationError(f"{where}: Invalid value: {url!r}: URL scheme must be https")
    if parts.username or parts.query or parts.fragment:
        raise ConfigurationError(f"{where}: Invalid value: {url!r}: URL must not contain a username, a query or a fragment")


def _anonymous(given: Any) -> tuple[bool, frozenset[str] | None]:
    if given is None:
        return True, None
    _check_fields(given, {"enabled", "conditions"}, "anonymous")
    conditions = given.get("conditions") or []
    if conditions and not given.get("enabled"):
        raise ConfigurationError("anonymous.conditions: Invalid value: enabled should be set to true when conditions are defined")
    return bool(given.get("enabled")), frozenset(str(c.get("path")) for c in conditions) if conditions else None


def _check_fields(value: Any, known: set[str], where: str) -> None:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{where} is not an object")
    if unknown := sorted(value.keys() - known):
        raise ConfigurationError(f'{where}: unknown field "{unknown[0]}"')
