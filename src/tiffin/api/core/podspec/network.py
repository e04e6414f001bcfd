"""Validation of names and addresses in pod specs: DNS policy and configuration, host names, host aliases."""
from __future__ import annotations

from typing import Any

from tiffin.machinery import field as f
from tiffin.machinery.field import FieldError
from tiffin.machinery.names import is_dns1123_label, is_dns1123_subdomain, is_dns1123_subdomain_with_underscore, is_strict_ip

_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_NAMESERVERS, _SEARCHES, _SEARCH_LENGTH, _HOST_NAME = 3, 32, 2048, 64


def validate_dns_policy(policy: str, path: str) -> list[FieldError]:
    if policy in _POLICIES:
        return []
    return [f.not_supported(path, policy, _POLICIES)] if policy else [f.required(path)]


def validate_dns_config(spec: dict[str, Any], path: str) -> list[FieldError]:
    """Violations of the pod's dnsConfig; policy None cannot do without one."""
    config = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            return [f.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not config.get("nameservers"):
            return [f.required(f"{path}.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None")]
    errors: list[FieldError] = []
    servers, searches = (config or {}).get("nameservers") or [], (config or {}).get("searches") or []
    if len(servers) > _NAMESERVERS:
        errors.append(f.invalid(f"{path}.nameservers", servers, "must not have more than 3 nameservers"))
    errors += [f.invalid(f"{path}.nameservers[{i}]", server, m) for i, server in enumerate(servers) for m in is_strict_ip(server)]
    if len(searches) > _SEARCHES:
        errors.append(f.invalid(f"{path}.searches", searches, "must not have more than 32 search paths"))
    if len(" ".join(searches)) > _SEARCH_LENGTH:
        detail = "must not have more than 2048 characters (including spaces) in the search list"
        errors.append(f.invalid(f"{path}.searches", searches, detail))
    for index, search in enumerate(searches):
        name = search.removesuffix(".")
        if search != ".":
            errors += [f.invalid(f"{path}.searches[{index}]", name, m) for m in is_dns1123_subdomain_with_underscore(name)]
    for index, option in enumerate((config or {}).get("options") or ()):
        if not option.get("name"):
            errors.append(f.required(f"{path}.options[{index}]", "must not be empty"))
    return errors


def validate_host_names(spec: dict[str, Any], path: str) -> list[FieldError]:
    """Violations of hostname, subdomain and hostnameOverride."""
    errors: list[FieldError] = []
    for key in ("hostname", "subdomain"):
        if spec.get(key):
            errors += [f.invalid(f"{path}.{key}", spec[key], m) for m in is_dns1123_label(spec[key])]
    override, at = spec.get("hostnameOverride"), f"{path}.hostnameOverride"
    if override is None:
        return errors
    if spec.get("hostNetwork"):
        errors.append(f.forbidden(at, "may not be specified when hostNetwork is true"))
    if spec.get("setHostnameAsFQDN"):
        errors.append(f.forbidden(at, "may not be specified when setHostnameAsFQDN is true"))
    errors += [f.invalid(at, override, m) for m in is_dns1123_subdomain(override)]
    if len(override) > _HOST_NAME:
        errors.append(f.too_long(at, _HOST_NAME))
    return errors


def validate_host_aliases(aliases: list[dict[str, Any]] | None, path: str) -> list[FieldError]:
    """Violations in hostAliases."""
    errors: list[FieldError] = []
    for index, alias in enumerate(aliases or ()):
        errors += [f.invalid(f"{path}[{index}].ip", alias.get("ip") or "", m) for m in is_strict_ip(alias.get("ip") or "")]
        for h, name in enumerate(alias.get("hostnames") or ()):
            errors += [f.invalid(f"{path}[{index}].hostnames[{h}]", name, m) for m in is_dns1123_subdomain(name)]
    return errors
