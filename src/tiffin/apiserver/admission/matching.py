"""Which requests a webhook or an admission policy is asked about: rules of resources, and selectors of namespace and object.

A rule may name a resource in another version than the request's. With `matchPolicy: Equivalent` it is met then too, and the object is
shown in the version of the rule. Rules that match exactly go first, then those that match by an equivalent, in their order.
Source: Kubernetes documentation "Dynamic Admission Control", "Matching requests"; apiserver `rules.Matcher`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tiffin.apiserver.admission.attributes import AdmissionAttributes
from tiffin.apiserver.admission.namespace import NAMESPACES
from tiffin.apiserver.ports import Reader
from tiffin.apiserver.registry import Registry
from tiffin.machinery import errors
from tiffin.machinery.object import Object, Resource, labels_of, name_of
from tiffin.machinery.selectors import EVERYTHING, Selector, from_label_selector

GROUP = "admissionregistration.k8s.io"
EXEMPT = frozenset(
    f"{plural}.{GROUP}"
    for plural in (
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    )
)
"""What says who is asked can always be mended: nobody is asked about it."""

Rule = Mapping[str, Any]


class Equivalents:
    """The versions and groups in which the same objects are served."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._generation = -1
        self._known: dict[str, list[Resource]] = {}

    def of(self, group_resource: str) -> list[Resource]:
        """All resources that serve what is stored under this name."""
        if self._generation != self.registry.generation:
            self._known, self._generation = {}, self.registry.generation
            for served in self.registry:
                self._known.setdefault(served.storage, []).append(served.resource)
        return self._known.get(group_resource, [])


def namespace_of_request(a: AdmissionAttributes, obj: Object | None) -> str:
    """The namespace of a request; for a Namespace itself its own name."""
    if a.group_resource != "namespaces":
        return a.namespace
    return a.name or name_of(obj or {})


def labels_of_namespace(reader: Reader, a: AdmissionAttributes, obj: Object | None) -> Mapping[str, str] | None:
    """The labels of the request's namespace, for a Namespace that is written those it will have; None outside of namespaces."""
    if a.group_resource == "namespaces" and not a.subresource and obj is not None:
        return labels_of(obj)
    name = namespace_of_request(a, obj)
    if not name:
        return None
    namespace = reader.get(NAMESPACES, "", name)
    if namespace is None:
        raise errors.not_found("namespaces", name)
    return labels_of(namespace)


class Criteria:
    """The criteria of one webhook, policy or binding, with the fields of `MatchResources`; webhooks call the rules `rules`."""

    def __init__(self, spec: Mapping[str, Any], rules: Iterable[Rule]) -> None:
        self._rules = list(rules)
        self._excluded: list[Rule] = spec.get("excludeResourceRules") or []
        self._equivalent = spec.get("matchPolicy") != "Exact"
        self._namespaces = _selector(spec.get("namespaceSelector"))
        self._objects = _selector(spec.get("objectSelector"))
        self.is_open = not self._rules
        """Whether no rule limits the resources, as in bindings."""

    def selects(self, reader: Reader, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> bool:
        """Whether the namespace and the object, as it was or as it will be, have the labels asked for."""
        if self._namespaces is not EVERYTHING:
            labels = labels_of_namespace(reader, a, obj)
            if labels is not None and not self._namespaces.matches(labels):
                return False
        if self._objects is EVERYTHING:
            return True
        return any(version is not None and self._objects.matches(labels_of(version)) for version in (obj, old))

    def resource(self, a: AdmissionAttributes, equivalents: Equivalents, name: str) -> Resource | None:
        """The version in which a rule names the resource of the request, None if none does or it is excluded."""
        if self._excluded and self._by_rules(self._excluded, a, equivalents, name) is not None:
            return None
        return a.requested if self.is_open else self._by_rules(self._rules, a, equivalents, name)

    def may_concern(self, group_resource: str, operation: str, equivalents: Equivalents) -> bool:
        """Whether any rule could ever match: a quick look before anything is made ready."""
        known = equivalents.of(group_resource)
        return self.is_open or any(
            _has(rule.get("operations"), operation)
            and any(_has(rule.get("apiGroups"), r.group) and _has(rule.get("apiVersions"), r.version) for r in known)
            for rule in self._rules
        )

    def _by_rules(self, rules: list[Rule], a: AdmissionAttributes, equivalents: Equivalents, name: str) -> Resource | None:
        if any(_matches(rule, a, a.requested, name) for rule in rules):
            return a.requested
        if not self._equivalent:
            return None
        others = [r for r in equivalents.of(a.group_resource) if r != a.requested]
        return next((r for rule in rules for r in others if _matches(rule, a, r, name)), None)


def _selector(selector: Mapping[str, Any] | None) -> Selector:
    return from_label_selector(selector) if selector else EVERYTHING


def _matches(rule: Rule, a: AdmissionAttributes, resource: Resource, name: str) -> bool:
    return (
        _has(rule.get("operations"), a.operation)
        and _has(rule.get("apiGroups"), resource.group)
        and _has(rule.get("apiVersions"), resource.version)
        and any(_names(pattern, resource.plural, a.subresource) for pattern in rule.get("resources") or ())
        and _in_scope(rule.get("scope") or "*", a)
        and (not rule.get("resourceNames") or name in rule["resourceNames"])
    )


def _has(values: Iterable[str] | None, wanted: str) -> bool:
    return any(value in ("*", wanted) for value in values or ())


def _names(pattern: str, plural: str, subresource: str) -> bool:
    resource, _, sub = pattern.partition("/")
    return resource in ("*", plural) and sub in ("*", subresource)


def _in_scope(scope: str, a: AdmissionAttributes) -> bool:
    return scope == "*" or (scope == "Namespaced") is (bool(a.namespace) and a.group_resource != "namespaces")
