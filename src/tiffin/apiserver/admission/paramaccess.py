"""Who writes an admission policy or binding has to be able to read the parameters it refers to: policies run with the server's eyes, and
their messages could tell what their author may not see. Administrators may. Source: registry/admissionregistration, `authorize`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tiffin.apiserver.admission.attributes import AdmissionAttributes
from tiffin.apiserver.admission.chain import Plugin
from tiffin.apiserver.admission.matching import GROUP
from tiffin.apiserver.authz.attributes import Attributes, Decision
from tiffin.apiserver.ports import Reader
from tiffin.apiserver.registry import Registry
from tiffin.machinery import errors
from tiffin.machinery.field import FieldError, forbidden
from tiffin.machinery.object import Object, Resource, dig, name_of

_POLICIES = {"validatingadmissionpolicies": "ValidatingAdmissionPolicy", "mutatingadmissionpolicies": "MutatingAdmissionPolicy"}
_BINDINGS = {f"{plural.removesuffix('ies')}ybindings": plural for plural in _POLICIES}


class ParameterAccess(Plugin):
    resources = tuple(f"{plural}.{GROUP}" for plural in (*_POLICIES, *_BINDINGS))

    def __init__(self, reader: Reader, registry: Registry, authorize: Callable[[Attributes], Decision]) -> None:
        self._reader, self._registry, self._authorize = reader, registry, authorize

    def validate(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if a.subresource or obj is None:
            return
        problem = self._policy(a, obj, old) if a.resource.plural in _POLICIES else self._binding(a, obj, old)
        if problem is not None:
            raise errors.invalid(a.kind, GROUP, name_of(obj), [problem])

    def _policy(self, a: AdmissionAttributes, obj: Object, old: Object | None) -> FieldError | None:
        kind = dig(obj, "spec", "paramKind")
        if kind is None or kind == dig(old, "spec", "paramKind") or self._may_read(a, kind, "get", "*", "*"):
            return None
        where = f"(kind={kind.get('kind')}, apiVersion={kind.get('apiVersion')})"
        words = f'user {a.user.name} must have "get" permission on all objects of the referenced paramKind {where}'
        return forbidden("spec.paramKind", words)

    def _binding(self, a: AdmissionAttributes, obj: Object, old: Object | None) -> FieldError | None:
        reference, policy = dig(obj, "spec", "paramRef"), dig(obj, "spec", "policyName", default="")
        if reference is None or (reference, policy) == (dig(old, "spec", "paramRef"), dig(old, "spec", "policyName", default="")):
            return None
        found = self._reader.get(Resource(GROUP, "v1", _BINDINGS[a.resource.plural]), "", policy)
        kind = dig(found, "spec", "paramKind", default={})
        verb = "get" if reference.get("name") else "list"
        if self._may_read(a, kind, verb, reference.get("namespace") or "*", reference.get("name") or "*"):
            return None
        return forbidden("spec.paramRef", f'user {a.user.name} does not have "{verb}" permission on the object referenced by paramRef')

    def _may_read(self, a: AdmissionAttributes, kind: Mapping[str, Any], verb: str, namespace: str, name: str) -> bool:
        """What is not known of the kind stands for all there are."""
        group, _, version = (kind.get("apiVersion") or "*/*").rpartition("/")
        served = next((s for s in self._registry.of_version(group, version) if s.kind.kind == kind.get("kind")), None)
        plural = served.resource.plural if served else "*"
        return self._authorize(Attributes(a.user, verb, group, version, plural, namespace=namespace, name=name)).allowed
