"""The file of an AdmissionConfiguration, as far as it configures PodSecurity: defaults for namespaces without labels, and exemptions.

Read once, at start; what is wrong with it keeps the server from starting. Other plugins have nothing to configure here, and are refused.
Source: apiserver.config.k8s.io/v1 AdmissionConfiguration, pod-security.admission.config.k8s.io/v1 PodSecurityConfiguration.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiffin.apiserver.admission.podsecurity.levels import PREFIX, Policy, policy_of
from tiffin.apiserver.admission.podsecurity.plugin import PRIVILEGED_BY_DEFAULT, PodSecurityConfiguration
from tiffin.machinery.yamlcodec import parse_yaml

_ADMISSION = ("apiserver.config.k8s.io/v1", "AdmissionConfiguration")
_VERSIONS = tuple(f"pod-security.admission.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
_DEFAULTS = frozenset(f"{mode}{suffix}" for mode in Policy._fields for suffix in ("", "-version"))
_EXEMPTIONS = ("usernames", "namespaces", "runtimeClasses")


class ConfigurationError(ValueError):
    """The file cannot be used; the message says where and why."""


def load(path: Path) -> PodSecurityConfiguration:
    """Reads an AdmissionConfiguration. Raises ConfigurationError."""
    try:
        return _admission(_document(path), path.parent)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"admission control config {path}: {error}") from error


def _document(path: Path) -> Any:
    document, problems = parse_yaml(path.read_bytes())
    if problems:
        raise ConfigurationError(str(problems[0]))
    return document


def _admission(document: Any, directory: Path) -> PodSecurityConfiguration:
    if not isinstance(document, dict) or (document.get("apiVersion"), document.get("kind")) != _ADMISSION:
        raise ConfigurationError("is no AdmissionConfiguration of apiserver.config.k8s.io/v1")
    _check_fields(document, {"apiVersion", "kind", "plugins"}, "the configuration")
    found = PRIVILEGED_BY_DEFAULT
    for index, plugin in enumerate(document.get("plugins") or ()):
        where = f"plugins[{index}]"
        _check_fields(plugin, {"name", "path", "configuration"}, where)
        if plugin.get("name") != "PodSecurity":
            raise ConfigurationError(f"{where}.name: {plugin.get('name')!r} has nothing to configure; only PodSecurity has")
        own = plugin["configuration"] if plugin.get("configuration") is not None else _document(directory / (plugin.get("path") or ""))
        found = read(own, f"{where}.configuration")
    return found


def read(document: Any, where: str) -> PodSecurityConfiguration:
    """A PodSecurityConfiguration, decoded. Raises ConfigurationError."""
    _check_fields(document, {"apiVersion", "kind", "defaults", "exemptions"}, where)
    if document.get("apiVersion") not in _VERSIONS or document.get("kind") != "PodSecurityConfiguration":
        raise ConfigurationError(f"{where} is no PodSecurityConfiguration of pod-security.admission.config.k8s.io/v1")
    defaults, exemptions = document.get("defaults") or {}, document.get("exemptions") or {}
    _check_fields(defaults, _DEFAULTS, f"{where}.defaults")
    _check_fields(exemptions, _EXEMPTIONS, f"{where}.exemptions")
    policy, problems = policy_of({f"{PREFIX}{key}": str(value) for key, value in defaults.items()}, Policy())
    if problems:
        raise ConfigurationError(f"{where}.defaults: {problems[0].message}")
    for field, values in exemptions.items():
        if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
            raise ConfigurationError(f"{where}.exemptions.{field} is no list of names")
    return PodSecurityConfiguration(policy, *(frozenset(exemptions.get(field) or ()) for field in _EXEMPTIONS))


def _check_fields(value: Any, known: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where} is no object")
    for field in value:
        if field not in known:
            raise ConfigurationError(f"{where} has an unknown field {field!r}")
