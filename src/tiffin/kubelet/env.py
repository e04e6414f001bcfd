"""The environment of a container: every source, `$(NAME)` expansion and the variables of services.

Rules: sources of `envFrom` come first and later ones win; `env` wins over them and may refer to what stands before it and to
service variables; `$$` is a dollar sign; a reference to nothing stays as written. A missing object or key that is not optional
raises `ConfigError`, whose text is the message of CreateContainerConfigError.
"""
from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiffin.kubelet.fields import Facts, FieldUnknownError, field_value, resource_value
from tiffin.kubelet.state import container_named
from tiffin.machinery.object import Object, dig, name_of, namespace_of

_reference = re.compile(r"\$(?:\$|\(([^()]*)\))")


class ConfigError(Exception):
    """The container's configuration cannot be made now; it may be when what it refers to appears."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where an environment's values come from. Look-ups are by name within the pod's namespace and answer None when absent."""

    config_map: Callable[[str], Object | None]
    secret: Callable[[str], Object | None]
    services: Sequence[Object]
    """Services of the pod's namespace and the one named kubernetes of namespace default."""
    facts: Facts


def expand(text: str, values: Mapping[str, str]) -> str:
    """`$(NAME)` replaced by its value where there is one, `$$` by a dollar sign."""
    def replacement(match: re.Match[str]) -> str:
        if match[1] is None:
            return "$"
        return values.get(match[1], match[0])

    return _reference.sub(replacement, text) if "$" in text else text


def environment(pod: Object, container: Object, sources: Sources) -> dict[str, str]:
    """Variables by name. Raises ConfigError."""
    services = service_variables(pod, sources.services)
    values: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        values |= _all_of(pod, source, sources)
    for variable in container.get("env") or ():
        value = _value(pod, container, variable, sources, services | values)
        if value is not None:
            values[variable["name"]] = value
    return values | {name: value for name, value in services.items() if name not in values}


def _all_of(pod: Object, source: Mapping[str, Any], sources: Sources) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    if reference := source.get("configMapRef"):
        found = sources.config_map(reference["name"])
        if found is None and not reference.get("optional"):
            raise ConfigError(f'configmap "{reference["name"]}" not found')
        return {prefix + key: value for key, value in ((found or {}).get("data") or {}).items()}
    reference = source.get("secretRef") or {}
    found = sources.secret(reference.get("name", ""))
    if found is None and not reference.get("optional"):
        raise ConfigError(f'secret "{reference.get("name", "")}" not found')
    return {prefix + key: _decoded(value) for key, value in ((found or {}).get("data") or {}).items()}


def _decoded(value: str) -> str:
    return base64.b64decode(value).decode(errors="surrogateescape")


def _value(pod: Object, container: Object, variable: Mapping[str, Any], sources: Sources, known: Mapping[str, str]) -> str | None:
    """One variable's value; None when its optional source is absent."""
    origin = variable.get("valueFrom")
    if not origin:
        return expand(variable.get("value") or "", known)
    try:
        if reference := origin.get("fieldRef"):
            return field_value(pod, reference["fieldPath"], sources.facts)
        if reference := origin.get("resourceFieldRef"):
            return resource_value(container_named(pod, reference.get("containerName") or container["name"]) or container, reference, sources.facts)
    except FieldUnknownError as error:
        raise ConfigError(str(error)) from error
    if reference := origin.get("configMapKeyRef"):
        return _key(pod, reference, sources.config_map(reference["name"]), "ConfigMap")
    if reference := origin.get("secretKeyRef"):
        value = _key(pod, reference, sources.secret(reference["name"]), "Secret")
        return None if value is None else _decoded(value)
    raise ConfigError(f"variable {variable['name']} has no source this node knows")


def _key(pod: Object, reference: Mapping[str, Any], found: Object | None, kind: str) -> str | None:
    name, key = reference["name"], reference["key"]
    if found is None:
        if reference.get("optional"):
            return None
        raise ConfigError(f'{kind.lower()} "{name}" not found')
    value = (found.get("data") or {}).get(key)
    if value is None and not reference.get("optional"):
        raise ConfigError(f"couldn't find key {key} in {kind} {namespace_of(pod)}/{name}")
    return value


def service_variables(pod: Object, services: Iterable[Object]) -> dict[str, str]:
    """`NAME_SERVICE_HOST` and its kin, for services of the pod's namespace (unless links are off) and for `kubernetes`."""
    links = dig(pod, "spec", "enableServiceLinks", default=True)
    values: dict[str, str] = {}
    for service in services:
        is_master = name_of(service) == "kubernetes" and namespace_of(service) == "default"
        if is_master or (links and namespace_of(service) == namespace_of(pod)):
            own = _variables_of(service)
            values |= {k: v for k, v in own.items() if k not in values} if is_master else own
    return values


def _variables_of(service: Object) -> dict[str, str]:
    address = dig(service, "spec", "clusterIP", default="")
    ports = dig(service, "spec", "ports", default=[])
    if not address or address == "None" or not ports:
        return {}
    name = name_of(service).upper().replace("-", "_")
    values = {f"{name}_SERVICE_HOST": address, f"{name}_SERVICE_PORT": str(ports[0]["port"])}
    for port in ports:
        if port.get("name"):
            values[f"{name}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
    host = f"[{address}]" if ":" in address else address
    for index, port in enumerate(ports):
        protocol = port.get("protocol") or "TCP"
        url, prefix = f"{protocol.lower()}://{host}:{port['port']}", f"{name}_PORT_{port['port']}_{protocol.upper()}"
        if index == 0:
            values[f"{name}_PORT"] = url
        values |= {prefix: url, f"{prefix}_PROTO": protocol.lower(), f"{prefix}_PORT": str(port["port"]), f"{prefix}_ADDR": address}
    return values
