"""Ingress: host names and paths, and the Services behind them."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import ip, named, port_number
from tiffin.api.core.service import balancer_addresses
from tiffin.api.core.service_validation import hostname_errors
from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.printing import AGE, NAME
from tiffin.api.strategy import creates_with_status, updates_spec, updates_status
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, invalid, not_supported, quoted, required
from tiffin.machinery.object import Object, annotations_of, dig
from tiffin.machinery.table import NONE, age, cut, name

NO_BALANCER: Object = {"loadBalancer": {}}
PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
CLASS_ANNOTATION = "kubernetes.io/ingress.class"
SHOWN_HOSTS = 3
_SEQUENCES, _SUFFIXES = ("//", "/./", "/../", "%2f", "%2F"), ("/..", "/.")


def default(obj: Object) -> None:
    obj.setdefault("spec", {})
    obj.setdefault("status", {}).setdefault("loadBalancer", {})


def validate(obj: Object, context: Context) -> list[FieldError]:
    errors = _spec_errors(obj.get("spec") or {}, "spec")
    annotated, called = annotations_of(obj).get(CLASS_ANNOTATION), dig(obj, "spec", "ingressClassName")
    if annotated is not None and called is not None and annotated != called:
        errors.append(invalid(f"annotations.{CLASS_ANNOTATION}", annotated, "must match `ingressClassName` when both are specified"))
    return errors


def _spec_errors(spec: dict[str, Any], path: str) -> list[FieldError]:
    backend, rules, called = spec.get("defaultBackend"), spec.get("rules") or [], spec.get("ingressClassName")
    errors: list[FieldError] = []
    if not rules and backend is None:
        errors.append(invalid(path, None, "either `defaultBackend` or `rules` must be specified"))
    if backend is not None:
        errors += _backend_errors(backend, f"{path}.defaultBackend")
    for index, rule in enumerate(rules):
        errors += _rule_errors(rule, f"{path}.rules[{index}]")
    for index, tls in enumerate(spec.get("tls") or ()):
        errors += _tls_errors(tls, f"{path}.tls[{index}]")
    if called is not None:
        errors += named(called, f"{path}.ingressClassName", names.is_dns1123_subdomain)
    return errors


def _host_errors(host: str, path: str) -> list[FieldError]:
    return named(host, path, names.is_wildcard_dns1123_subdomain if "*" in host else names.is_dns1123_subdomain)


def _rule_errors(rule: dict[str, Any], path: str) -> list[FieldError]:
    host, http = rule.get("host") or "", rule.get("http")
    errors: list[FieldError] = []
    if host:
        if names.parse_ip(host) is not None:
            errors.append(invalid(f"{path}.host", host, "must be a DNS name, not an IP address"))
        errors += _host_errors(host, f"{path}.host")
    if http is None:
        return errors
    if not http.get("paths"):
        return [*errors, required(f"{path}.http.paths")]
    for index, entry in enumerate(http["paths"]):
        errors += _path_errors(entry, f"{path}.http.paths[{index}]")
    return errors


def _path_errors(entry: dict[str, Any], path: str) -> list[FieldError]:
    value, kind = entry.get("path") or "", entry.get("pathType")
    errors: list[FieldError] = []
    if kind is None:
        return [required(f"{path}.pathType", "pathType must be specified")]
    if kind in ("Exact", "Prefix"):
        if not value.startswith("/"):
            errors.append(invalid(f"{path}.path", value, "must be an absolute path"))
        if value:
            errors += [invalid(f"{path}.path", value, f"must not contain '{part}'") for part in _SEQUENCES if part in value]
            errors += [invalid(f"{path}.path", value, f"cannot end with '{end}'") for end in _SUFFIXES if value.endswith(end)]
    elif kind == "ImplementationSpecific":
        if value and not value.startswith("/"):
            errors.append(invalid(f"{path}.path", value, "must be an absolute path"))
    else:
        errors.append(not_supported(f"{path}.pathType", kind, PATH_TYPES))
    return errors + _backend_errors(entry.get("backend") or {}, f"{path}.backend")


def _backend_errors(backend: dict[str, Any], path: str) -> list[FieldError]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        return [invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return _reference_errors(resource, f"{path}.resource")
    if service is None:
        return [invalid(path, "", "resource or service backend is required")]
    called, port = service.get("name") or "", service.get("port") or {}
    errors = named(called, f"{path}.service.name", names.is_dns1123_label) if called else [required(f"{path}.service.name")]
    has_name, has_number = bool(port.get("name")), bool(port.get("number"))
    if has_name and has_number:
        errors.append(invalid(path, "", "cannot set both port name & port number"))
    elif has_name:
        errors += named(port["name"], f"{path}.service.port.name", names.is_valid_port_name)
    elif has_number:
        errors += port_number(port["number"], f"{path}.service.port.number")
    else:
        errors.append(required(path, "port name or number is required"))
    return errors


def _reference_errors(reference: dict[str, Any], path: str) -> list[FieldError]:
    group = reference.get("apiGroup")
    errors = named(group, f"{path}.apiGroup", names.is_dns1123_subdomain) if group is not None else []
    for field in ("kind", "name"):
        value = reference.get(field) or ""
        errors += named(value, f"{path}.{field}", names.is_path_segment_name) if value else [required(f"{path}.{field}")]
    return errors


def _tls_errors(tls: dict[str, Any], path: str) -> list[FieldError]:
    errors = [error for index, host in enumerate(tls.get("hosts") or ()) for error in _host_errors(host, f"{path}.hosts[{index}]")]
    if tls.get("secretName"):
        errors += named(tls["secretName"], f"{path}.secretName", names.is_dns1123_subdomain)
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return _spec_errors(new.get("spec") or {}, "spec")


def validate_status(new: Object, old: Object, context: Context) -> list[FieldError]:
    errors: list[FieldError] = []
    known = [point.get("ip") for point in dig(old, "status", "loadBalancer", "ingress", default=())]
    for index, point in enumerate(dig(new, "status", "loadBalancer", "ingress", default=[])):
        path = f"status.loadBalancer.ingress[{index}]"
        if point.get("ip"):
            errors += ip(point["ip"], f"{path}.ip", known)
        errors += hostname_errors(point.get("hostname"), f"{path}.hostname")
    return errors


def warnings(new: Object, old: Object | None) -> list[str]:
    if old is not None or CLASS_ANNOTATION not in annotations_of(new) or dig(new, "spec", "ingressClassName") is not None:
        return []
    return [f"annotation {quoted(CLASS_ANNOTATION)} is deprecated, please use 'spec.ingressClassName' instead"]


def hosts_text(obj: Object) -> str:
    """The hosts of the rules; one without any matches every host."""
    hosts = [rule["host"] for rule in dig(obj, "spec", "rules", default=[]) if rule.get("host")]
    return cut(hosts, SHOWN_HOSTS) or "*"


def row(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    called = spec.get("ingressClassName") or annotations_of(obj).get(CLASS_ANNOTATION) or NONE
    addresses = ",".join(balancer_addresses(dig(obj, "status", "loadBalancer", default={})))
    return [name(obj), called, hosts_text(obj), addresses, "80, 443" if spec.get("tls") else "80", age(obj, now)]


KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="Ingress",
    plural="ingresses",
    schema="io.k8s.api.networking.v1.Ingress",
    singular="ingress",
    metadata_checks="um",
    short_names=("ing",),
    subresources=(
        Subresource("status", updates_object=True, prepare=updates_status(), validate=validate_status),
    ),
    default=default,
    prepare_for_create=creates_with_status(NO_BALANCER),
    prepare_for_update=updates_spec(),
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
    columns=(NAME, Column("Class"), Column("Hosts"), Column("Address"), Column("Ports"), AGE),
    row=row,
)
