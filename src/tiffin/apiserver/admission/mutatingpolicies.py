"""MutatingAdmissionPolicy: requests are completed by expressions.

Policies run one after another, and each mutation sees what those before it made. A mutation that has no value, or whose outcome does not
fit the object, changes nothing; whether it fails the request says the policy's `failurePolicy`. All that failed is told at once.
Source: KEP-3962; apiserver `mutating.dispatcher`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiffin.apiserver.admission.attributes import AdmissionAttributes
from tiffin.apiserver.admission.chain import ANY, Plugin
from tiffin.apiserver.admission.matching import GROUP, Equivalents
from tiffin.apiserver.admission.policies import Authorize, Match, Policies, Unusable
from tiffin.apiserver.admission.views import View, name_in_request, take, view
from tiffin.apiserver.ports import Reader
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource, name_of, namespace_of

if TYPE_CHECKING:
    from tiffin.apiserver.admission.mutation import MutatingProgram

POLICIES = Resource(GROUP, "v1", "mutatingadmissionpolicies")
_NAME = "MutatingAdmissionPolicy"


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
        problems: list[str] = []
        for match in self._policies.matches(policies, a, obj, old):
            found = self._applied(match, a, obj, old)
            if match.policy.fails:
                who = f"policy '{match.policy.name}' with binding '{match.binding.name}'"
                problems += [f"{who} denied request: {problem}" for problem in found]
        a.reinvocation.ends(_NAME, obj)
        if problems:
            raise _refused(a, obj, problems)

    def _applied(self, match: Match[MutatingProgram], a: AdmissionAttributes, obj: Object, old: Object | None) -> list[str]:
        """Changes `obj` by a policy, once for each of its parameters; gives what went wrong."""
        try:
            program = self._policies.program(match.policy)
            parameters = self._policies.parameters(match, a, obj)
        except Unusable as problem:
            return [problem.message]
        problems: list[str] = []
        for params in parameters:
            key = "/".join((match.policy.name, match.binding.name, namespace_of(params or {}), name_of(params or {})))
            if a.reinvocation.is_called(_NAME, key):
                problems += self._with_parameters(program, match, a, obj, old, params)
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


def _refused(a: AdmissionAttributes, obj: Object, problems: list[str]) -> ApiError:
    details = {"name": name_in_request(a, obj) or "Unknown", "group": a.resource.group, "kind": a.resource.plural}
    causes = [{"message": problem} for problem in problems]
    return ApiError(403, "Invalid", problems[0], {key: value for key, value in details.items() if value} | {"causes": causes})
