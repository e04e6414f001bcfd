"""What validating and mutating admission policies share: which policies and bindings a request meets, with which parameters.

Rules
* Policies run in the order of their names, each with its bindings in the order of theirs, each binding with its parameters.
* A policy without a binding does nothing. A binding narrows what its policy matches, it never widens it.
* Where something of a policy cannot be used, such as parameters that are not there, its `failurePolicy` decides.
* Policies are compiled when a request first meets them and kept until they change. Where there is none, a request costs a comparison
  of numbers.
Source: KEP-3488, KEP-3962; Kubernetes documentation "Validating Admission Policy", "Mutating Admission Policy".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tiffin.apiserver.admission.attributes import AdmissionAttributes
from tiffin.apiserver.admission.matching import EXEMPT, Criteria, Equivalents, namespace_of_request
from tiffin.apiserver.admission.views import View, name_in_request, view
from tiffin.apiserver.authz.attributes import Attributes, Decision
from tiffin.apiserver.ports import Reader
from tiffin.apiserver.registry import Registry, Served
from tiffin.machinery.object import Object, Resource, labels_of, name_of, uid_of
from tiffin.machinery.selectors import from_label_selector

if TYPE_CHECKING:
    from tiffin.apiserver.admission.evaluation import Evaluator

Authorize = Callable[[Attributes], Decision]
Compiled = TypeVar("Compiled")


class Unusable(Exception):
    """Something of a binding cannot be used; the text says what."""

    whose = "binding"

    @property
    def message(self) -> str:
        """What a refusal says."""
        return f"failed to configure {self.whose}: {self}"


class UnusablePolicy(Unusable):
    """It is the policy itself, whatever its bindings."""

    whose = "policy"


@dataclass(frozen=True, slots=True)
class Binding:
    """A binding of a policy."""

    name: str
    spec: Object
    criteria: Criteria


@dataclass(slots=True)
class Policy(Generic[Compiled]):
    """A policy and its bindings; `program` is made when it is first needed."""

    name: str
    spec: Object
    criteria: Criteria
    identity: tuple[str, int]
    bindings: list[Binding] = field(default_factory=list)

    @property
    def fails(self) -> bool:
        """Whether what goes wrong fails the request."""
        return self.spec.get("failurePolicy") != "Ignore"


@dataclass(frozen=True, slots=True)
class Match(Generic[Compiled]):
    """A policy and binding that a request meets, and what they see of it."""

    policy: Policy[Compiled]
    binding: Binding
    seen: View


class Policies(Generic[Compiled]):
    """The policies of one kind. `compile` makes the program of a policy's spec and may raise CompilationError."""

    def __init__(
        self, reader: Reader, equivalents: Equivalents, authorize: Authorize, policies: Resource, compile: Callable[[Object], Compiled]
    ) -> None:
        self._reader, self._equivalents, self._authorize = reader, equivalents, authorize
        self._policies, self._bindings = policies, policies._replace(plural=f"{policies.plural.removesuffix('ies')}ybindings")
        self._compile = compile
        self._generation = -1
        self._known: list[Policy[Compiled]] = []
        self._chosen: dict[tuple[str, str], list[Policy[Compiled]]] = {}
        self._programs: dict[tuple[str, int], Compiled] = {}
        self._evaluator: Evaluator | None = None
        for resource in (self._policies, self._bindings):
            reader.follow(resource, self._forget)

    def _forget(self) -> None:
        self._generation = -1

    def concerned(self, group_resource: str, operation: str) -> list[Policy[Compiled]]:
        """Those whose rules might match a request."""
        generation = self._equivalents.registry.generation
        if generation != self._generation:
            self._known, self._chosen, self._generation = self._load(), {}, generation
        if not self._known:
            return self._known
        key = (group_resource, operation)
        if key not in self._chosen:
            of_interest = [p for p in self._known if p.criteria.may_concern(group_resource, operation, self._equivalents)]
            self._chosen[key] = [] if group_resource in EXEMPT else of_interest
        return self._chosen[key]

    def _load(self) -> list[Policy[Compiled]]:
        policies: dict[str, Policy[Compiled]] = {}
        for obj in self._reader.list(self._policies):
            spec = obj["spec"]
            constraints = spec.get("matchConstraints") or {}
            identity = (uid_of(obj), obj["metadata"].get("generation") or 0)
            policies[name_of(obj)] = Policy(name_of(obj), spec, Criteria(constraints, constraints.get("resourceRules") or ()), identity)
        for obj in self._reader.list(self._bindings):
            policy = policies.get(obj["spec"].get("policyName") or "")
            if policy is not None:
                resources = obj["spec"].get("matchResources") or {}
                policy.bindings.append(Binding(name_of(obj), obj["spec"], Criteria(resources, resources.get("resourceRules") or ())))
        bound = [policy for policy in policies.values() if policy.bindings and not policy.criteria.is_open]
        kept = {policy.identity for policy in bound}
        self._programs = {identity: program for identity, program in self._programs.items() if identity in kept}
        return bound

    def matches(
        self, policies: list[Policy[Compiled]], a: AdmissionAttributes, obj: Object | None, old: Object | None
    ) -> Iterator[Match[Compiled]]:
        """The policies and bindings that a request meets, in their order."""
        name = name_in_request(a, obj)
        for policy in policies:
            resource = policy.criteria.resource(a, self._equivalents, name)
            if resource is None or not policy.criteria.selects(self._reader, a, obj, old):
                continue
            for binding in policy.bindings:
                own = binding.criteria
                if own.resource(a, self._equivalents, name) is not None and own.selects(self._reader, a, obj, old):
                    yield Match(policy, binding, view(self._equivalents.registry, a, resource, obj, old))

    def program(self, policy: Policy[Compiled]) -> Compiled:
        """The compiled policy; raises Unusable for one that was accepted by another server and does not compile here."""
        from tiffin.machinery.cel import CompilationError

        program = self._programs.get(policy.identity)
        if program is None:
            try:
                program = self._programs[policy.identity] = self._compile(policy.spec)
            except CompilationError as error:
                raise UnusablePolicy(f"compilation failed: {error}") from error
        return program

    @property
    def evaluator(self) -> Evaluator:
        if self._evaluator is None:
            from tiffin.apiserver.admission.evaluation import Evaluator

            self._evaluator = Evaluator(self._reader, self._equivalents.registry, self._authorize)
        return self._evaluator

    # parameters

    def parameters(self, match: Match[Compiled], a: AdmissionAttributes, obj: Object | None) -> list[Object | None]:
        """The parameters to evaluate with, one after another; [None] where the policy has none. Raises Unusable."""
        kind, reference = match.policy.spec.get("paramKind"), match.binding.spec.get("paramRef")
        if kind is None:
            return [None]
        served = _served(self._equivalents.registry, kind)
        if served is None:
            raise UnusablePolicy(f"failed to find resource referenced by paramKind: '{_shown(kind)}'")
        if reference is None:
            return [None]
        namespace = reference.get("namespace") or ""
        if served.kind.namespaced:
            namespace = namespace or namespace_of_request(a, obj)
            if not namespace:
                raise Unusable("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")
        elif namespace:
            raise Unusable("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        found: list[Object | None] = list(self._found(served, namespace, reference))
        if not found and reference.get("parameterNotFoundAction") == "Deny":
            raise Unusable("no params found for policy binding with `Deny` parameterNotFoundAction")
        return found

    def _found(self, served: Served, namespace: str, reference: Mapping[str, Any]) -> Iterator[Object]:
        resource = served.kind.resource
        if name := reference.get("name"):
            one = self._reader.get(resource, namespace, name)
            objects = [one] if one is not None else []
        else:
            selector = from_label_selector(reference.get("selector"))
            objects = [o for o in self._reader.list(resource, namespace or None) if selector.matches(labels_of(o))]
        for obj in objects:
            yield {**served.from_stored(obj), "kind": served.kind.kind, "apiVersion": served.api_version}


def _served(registry: Registry, kind: Mapping[str, Any]) -> Served | None:
    group, _, version = (kind.get("apiVersion") or "").rpartition("/")
    return next((s for s in registry.of_version(group, version) if s.kind.kind == kind.get("kind")), None)


def _shown(kind: Mapping[str, Any]) -> str:
    return f"{kind.get('apiVersion')}, Kind={kind.get('kind')}"
