"""IngressClass: who makes ingresses work. The controller never changes."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import immutable, named
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import AGE, NAME
from tiffin.api.strategy import start_generation, updates_content
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, forbidden, not_supported, required, too_long
from tiffin.machinery.object import Object, dig
from tiffin.machinery.table import NONE, age, name

LONGEST_CONTROLLER = 250
_SCOPES = ("Cluster", "Namespace")


def default(obj: Object) -> None:
    parameters = dig(obj, "spec", "parameters")
    if parameters is not None and parameters.get("scope") is None:
        parameters["scope"] = "Cluster"


def validate(obj: Object, context: Context) -> list[FieldError]:
    controller, parameters = dig(obj, "spec", "controller", default=""), dig(obj, "spec", "parameters")
    errors = [too_long("spec.controller", LONGEST_CONTROLLER)] if len(controller.encode()) > LONGEST_CONTROLLER else []
    errors += named(controller, "spec.controller", names.is_domain_prefixed_path) if controller else [required("spec.controller")]
    return errors if parameters is None else errors + _parameter_errors(parameters, "spec.parameters")


def _parameter_errors(parameters: dict[str, Any], path: str) -> list[FieldError]:
    group, scope, namespace = parameters.get("apiGroup"), parameters.get("scope"), parameters.get("namespace")
    errors = named(group, f"{path}.apiGroup", names.is_dns1123_subdomain) if group is not None else []
    for field in ("kind", "name"):
        value = parameters.get(field) or ""
        errors += named(value, f"{path}.{field}", names.is_path_segment_name) if value else [required(f"{path}.{field}")]
    if scope not in _SCOPES:
        errors.append(not_supported(f"{path}.scope", scope or "", _SCOPES))
    elif scope == "Namespace":
        errors += named(namespace, f"{path}.namespace", names.is_dns1123_label) if namespace is not None else [
            required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'")]
    elif namespace is not None:
        errors.append(forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'"))
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return immutable(dig(new, "spec", "controller"), dig(old, "spec", "controller"), "spec.controller") + validate(new, context)


def row(obj: Object, now: datetime) -> list[Any]:
    parameters = dig(obj, "spec", "parameters")
    shown = NONE
    if parameters is not None:
        group = parameters.get("apiGroup")
        kind = f"{parameters.get('kind', '')}.{group}" if group else parameters.get("kind", "")
        shown = f"{kind}/{parameters.get('name', '')}"
    return [name(obj), dig(obj, "spec", "controller", default=""), shown, age(obj, now)]


KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="IngressClass",
    plural="ingressclasses",
    schema="io.k8s.api.networking.v1.IngressClass",
    singular="ingressclass",
    metadata_checks="um",
    namespaced=False,
    default=default,
    prepare_for_create=start_generation,
    prepare_for_update=updates_content,
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Controller"), Column("Parameters"), AGE),
    row=row,
)
