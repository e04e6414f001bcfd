"""Expressions at work: what they see of a request, match conditions, and the authorizer they may ask.

Loaded with the first expression of a webhook or policy. Source: k8s.io/apiserver/pkg/admission/plugin/cel and webhook/matchconditions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tiffin.api.admissionregistration.expressions import CONDITION, Scope
from tiffin.apiserver.admission.attributes import AdmissionAttributes
from tiffin.apiserver.admission.views import View, admission_request
from tiffin.apiserver.authz import attributes as authz
from tiffin.apiserver.ports import Reader
from tiffin.apiserver.registry import Registry
from tiffin.apiserver.user import AUTHENTICATED, User, service_account_groups, service_account_name
from tiffin.machinery.cel import Budget, CelError, EvaluationError, Program
from tiffin.machinery.cel.budget import MATCH_CONDITIONS
from tiffin.machinery.cel.library.authz import Answer, Attributes, AuthorizerValue, ResourceCheck
from tiffin.machinery.cel.types import struct
from tiffin.machinery.cel.values import Lazy
from tiffin.machinery.object import Resource

NAMESPACES = Resource("", "v1", "namespaces")
OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"

Authorize = Callable[[authz.Attributes], authz.Decision]
Bindings = dict[str, Any]


class Failed(Exception):
    """An expression came to no value; the text is what a refusal says."""


class CelAuthorizer:
    """The server's authorizer as expressions ask it."""

    def __init__(self, authorize: Authorize) -> None:
        self._authorize = authorize

    def authorize(self, user: User, asked: Attributes) -> Answer:
        if asked.path:
            decision = self._authorize(authz.Attributes(user, asked.verb, path=asked.path, is_resource=False))
        else:
            decision = self._authorize(authz.Attributes(
                user, asked.verb, asked.group, "*", asked.resource, asked.subresource, asked.namespace, asked.name,
                field_selector=asked.field_selector, label_selector=asked.label_selector))  # fmt: skip
        return Answer(decision.allowed, decision.reason)

    @staticmethod
    def service_account(namespace: str, name: str) -> User:
        return User(service_account_name(namespace, name), groups=(*service_account_groups(namespace), AUTHENTICATED))


class Evaluator:
    """Makes bindings of requests."""

    def __init__(self, reader: Reader, registry: Registry, authorize: Authorize) -> None:
        self._reader, self._registry, self._port = reader, registry, CelAuthorizer(authorize)

    def bindings(self, a: AdmissionAttributes, seen: View) -> Bindings:
        """What every expression about a request may see; `params` and `variables` are added by policies."""
        who = AuthorizerValue(self._port, a.user)
        request = admission_request(self._registry, a, seen, seen.obj)
        namespace = request.get("namespace")
        own = Attributes("", "", a.requested.group, a.requested.plural, a.subresource, a.namespace, request.get("name", ""))
        return {
            "object": seen.obj,
            "oldObject": seen.old,
            "request": request,
            "namespaceObject": self._reader.get(NAMESPACES, "", namespace) if namespace and a.group_resource != "namespaces" else None,
            "authorizer": who,
            "authorizer.requestResource": ResourceCheck(who, own),
        }


def evaluated(program: Program, bindings: Mapping[str, Any], budget: Budget) -> Any:
    """The value of an expression; raises Failed."""
    try:
        value = program.evaluate(bindings, budget)
    except CelError as error:
        if budget.exhausted:
            raise Failed(OUT_OF_BUDGET) from error
        raise Failed(f"expression '{program.source}' resulted in error: {error}") from error
    if budget.exhausted:
        raise Failed(OUT_OF_BUDGET)
    return value


class Conditions:
    """Compiled match conditions. They have a budget of their own."""

    def __init__(self, conditions: Iterable[Mapping[str, Any]], fails: bool, params: bool = False) -> None:
        """`fails` tells what an expression without a value means: failure, or that nothing matches."""
        scope = Scope(params)
        self._programs = [scope.compile(condition["expression"], CONDITION) for condition in conditions]
        self._fails = fails

    def hold(self, bindings: Mapping[str, Any]) -> bool:
        """Whether all are true. One that is false decides, whatever the others; raises Failed where one has no value."""
        budget, problems = Budget(MATCH_CONDITIONS), list[str]()
        for program in self._programs:
            try:
                if evaluated(program, bindings, budget) is False:
                    return False
            except Failed as failed:
                problems.append(str(failed))
        if problems and self._fails:
            raise Failed(problems[0] if len(problems) == 1 else f"[{', '.join(dict.fromkeys(problems))}]")
        return not problems


class Variables:
    """Compiled variables of a policy; each is computed once for a request, when it is first asked for."""

    def __init__(self, variables: Iterable[Mapping[str, Any]], scope: Scope) -> None:
        self._programs = {variable["name"]: scope.variable(variable["name"], variable["expression"]) for variable in variables}
        self._type = struct("kubernetes.variables", {name: program.type for name, program in self._programs.items()})

    def added(self, bindings: Bindings, budget: Budget) -> Bindings:
        """The bindings with the variables, which charge `budget`."""
        if not self._programs:
            return bindings
        complete = dict(bindings)

        def compute(name: str, program: Program) -> Callable[[], Any]:
            def value() -> Any:
                try:
                    return program.evaluate(complete, budget)
                except CelError as error:
                    raise EvaluationError(f'composited variable "{name}" fails to evaluate: {error}') from error

            return value

        complete["variables"] = Lazy(self._type, {name: compute(name, program) for name, program in self._programs.items()})
        return complete

