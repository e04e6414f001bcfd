"""MutatingAdmissionPolicy: requests are completed by expressions.

Which policies a request meets, and with which parameters, is told by the request as it came. Policies then run one after another, and each
mutation sees what those before it made. A mutation that has no value, or whose outcome does not
fit the object, changes nothing; whether it fails the request says the policy's `failurePolicy`. All that failed is told at once.
Source: KEP-3962; apiserver `mutating.dispatcher`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tiffin.apiserver.admission.attributes import AdmissionAttributes
from tiffin.apiserver.admission.chain import ANY, Plugin
from tiffin.apiserver.admission.matching import GROUP, Equivalents
from tiffin.apiserver.admission.policies import Authorize, Match, Policies, Unusable
from tiffin.apiserver.admission.views import View, name_in_request, take, view
from tiffin.apiserver.ports import Reader
from tiffin.machinery.errors import ApiError
from tiffin.machinery.field import shown
from tiffin.machinery.object import Object, Resource, name_of, namespace_of

if TYPE_CHECKING:
    from tiffin.apiserver.admission.mutation import MutatingProgram

POLICIES = Resource(GROUP, "v1", "mutatingadmissionpolicies")
_NAME = "MutatingAdmissionPolicy"


class _Problem(NamedTuple):
    """What a refusal says, and its reason."""

    message: str
    reason: str


class MutatingPolicies(Plugin):
    resources = ANY
    operations = ("CREATE", "UPDATE", "CONNECT")

    def __init__(self, reader: Reader, equivalents: Equivalents, authorize: Authorize) -> None:
        self._equivalents = equivalents
        self._policies: Policies[MutatingProgram] = Policies(reader, equivalents, authorize, POLICIES, _program)

    def admit(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        policies = self._policies.concerned(a.group_resource, a.operation)
        if not policies or obj is None:
            return
        a.reinvocation.begins(_NAME, obj)
        invocations, problems = self._invocations(list(self._policies.matches(policies, a, obj, old)), a, obj)
        for match, program, params in invocations:
            found = self._applied(program, match, a, obj, old, params)
            if match.policy.fails:
                problems += [_Problem(f"{_named(match)} denied request: {text}", "Invalid") for text in found]
        a.reinvocation.ends(_NAME, obj)
        if problems:
            raise _refused(a, obj, problems)

    def _invocations(
        self, matches: list[Match[MutatingProgram]], a: AdmissionAttributes, obj: Object
    ) -> tuple[list[tuple[Match[MutatingProgram], MutatingProgram, Object | None]], list[_Problem]]:
        """What there is to do, each policy once for each of its parameters, and what keeps others from being used.
        All of it is known before anything is changed."""
        invocations: list[tuple[Match[MutatingProgram], MutatingProgram, Object | None]] = []
        problems: dict[str, _Problem] = {}
        for match in matches:
            try:
                program = self._policies.program(match.policy)
                invocations += [(match, program, params) for params in self._policies.parameters(match, a, obj)]
            except Unusable as problem:
                if match.policy.fails:
                    who = _named(match) if problem.whose == "binding" else f"policy {shown(match.policy.name)}"
                    problems.setdefault(who, _Problem(f"{who} denied request: {problem.message}", "Forbidden"))
        return invocations, list(problems.values())

    def _applied(
        self, program: MutatingProgram, match: Match[MutatingProgram], a: AdmissionAttributes, obj: Object, old: Object | None,
        params: Object | None,
    ) -> list[str]:
        """Changes `obj` by a policy; gives what went wrong."""
        key = "/".join((match.policy.name, match.binding.name, namespace_of(params or {}), name_of(params or {})))
        if not a.reinvocation.is_called(_NAME, key):
            return []
        problems = self._with_parameters(program, match, a, obj, old, params)
        if match.policy.spec.get("reinvocationPolicy") == "IfNeeded":
            a.reinvocation.called(_NAME, key)
        return problems

    def _with_parameters(
        self, program: MutatingProgram, match: Match[MutatingProgram], a: AdmissionAttributes, obj: Object, old: Object | None, params: Object | None
    ) -> list[str]:
        seen = view(self._equivalents.registry, a, match.seen.resource, obj, old)
        evaluator = self._policies.evaluator

        def bindings(now: View) -> dict[str, object]:
            return {**evaluator.bindings(a, now), "params": params}

        changed, problems = program.mutated(seen, bindings)
        if changed is not None:
            take(a, seen, obj, changed)
            a.reinvocation.changed(_NAME)
        return problems


def _program(spec: Object) -> MutatingProgram:
    from tiffin.apiserver.admission.mutation import MutatingProgram

    return MutatingProgram(spec)


def _named(match: Match[MutatingProgram]) -> str:
    return f"policy '{match.policy.name}' with binding '{match.binding.name}'"


def _refused(a: AdmissionAttributes, obj: Object, problems: list[_Problem]) -> ApiError:
    details = {"name": name_in_request(a, obj) or "Unknown", "group": a.resource.group, "kind": a.resource.plural}
    causes = [{"message": problem.message} for problem in problems]
    first = problems[0]
    return ApiError(403, first.reason, first.message, {key: value for key, value in details.items() if value} | {"causes": causes})
