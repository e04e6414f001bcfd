"""Type checks ValidatingAdmissionPolicies and writes what was found into their status, once for each generation."""
from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from tiffin.api.kind import builtin_kinds
from tiffin.controllers.config import Config
from tiffin.machinery.object import Key, Resource, dig
from tiffin.machinery.schema import definition
from tiffin.runtime.controller import Changes, Controller, Patch, PolicyRule, View, Watch, no_keys

if TYPE_CHECKING:
    from tiffin.api.admissionregistration.typecheck import KnownKind
    from tiffin.machinery.cel import Type

POLICIES = Resource("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies")
DEFINITIONS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")


@cache
def _builtin() -> Mapping[tuple[str, str, str], tuple[str, str]]:
    """Kind and schema of every built-in resource."""
    found = {}
    for kind in builtin_kinds():
        found[kind.group, kind.version, kind.plural] = (kind.kind, kind.schema)
        for version in kind.versions:
            found[version.group, version.version, kind.plural] = (kind.kind, version.schema)
    return found


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    policy = view.get(POLICIES, *key)
    if policy is None or dig(policy, "status", "observedGeneration") == dig(policy, "metadata", "generation"):
        return Changes()
    from tiffin.api.admissionregistration.typecheck import KnownKind as Known
    from tiffin.api.admissionregistration.typecheck import custom_kind, expression_warnings, kind_name, object_type

    def lookup(group: str, version: str, plural: str) -> KnownKind | None:
        known = _builtin().get((group, version, plural))
        if known is not None:
            return Known(kind_name(group, version, known[0]), object_type(definition(known[1])))
        crd = view.get(DEFINITIONS, "", f"{plural}.{group}")
        return custom_kind(crd, version) if crd is not None else None

    def params() -> Type | None:
        kind = dig(policy, "spec", "paramKind", default={})
        group, _, version = (kind.get("apiVersion") or "").rpartition("/")
        schema = next((s for (g, v, _), (name, s) in _builtin().items() if (g, v, name) == (group, version, kind.get("kind"))), None)
        if schema is not None:
            return object_type(definition(schema))
        found = (custom_kind(crd, version) for crd in view.list(DEFINITIONS) if (crd["spec"]["group"], dig(crd, "spec", "names", "kind")) == (group, kind.get("kind")))
        return next((known.type for known in found if known is not None), None)

    warnings = expression_warnings(policy["spec"], lookup, params())
    status = {
        "observedGeneration": dig(policy, "metadata", "generation"),
        "typeChecking": {"expressionWarnings": warnings or None},
    }
    return Changes((Patch(POLICIES, *key, {"status": status}, subresource="status"),))


def controller(config: Config) -> Controller:
    rules = (
        PolicyRule(("admissionregistration.k8s.io",), ("validatingadmissionpolicies",), ("get", "list", "watch")),
        PolicyRule(("admissionregistration.k8s.io",), ("validatingadmissionpolicies/status",), ("get", "patch", "update")),
        PolicyRule(("apiextensions.k8s.io",), ("customresourcedefinitions",), ("get", "list", "watch")),
    )
    name = "validatingadmissionpolicy-status-controller"
    return Controller(name, (Watch(POLICIES), Watch(DEFINITIONS, keys=no_keys)), reconcile, rules, workers=1)
