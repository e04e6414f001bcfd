"""ValidatingAdmissionPolicy: requests are refused, warned of or noted by expressions.

All policies are evaluated, and the first that refuses words the answer. What a validation without a value means says the policy's
`failurePolicy`; what one that is false means says the binding's `validationActions`. Every evaluation of a policy has one budget for its
validations and messages, and another for its audit annotations.
Source: KEP-3488; apiserver `validating.Validator` and `validating.dispatcher`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from tiffin.apiserver.admission.attributes import AdmissionAttributes, forbidden
from tiffin.apiserver.admission.chain import ANY, Plugin
from tiffin.apiserver.admission.matching import GROUP, Equivalents
from tiffin.apiserver.admission.policies import Authorize, Match, Policies, Unusable
from tiffin.apiserver.ports import Reader
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource

if TYPE_CHECKING:
    from tiffin.apiserver.admission.validation import ValidatingProgram

POLICIES = Resource(GROUP, "v1", "validatingadmissionpolicies")
CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413, "Invalid": 422}
_FAILURE = "validation.policy.admission.k8s.io/validation_failure"


class Denial(NamedTuple):
    """Why a policy refuses. `position` is that of the validation; `reason` "" stands for Invalid."""

    message: str
    reason: str = ""
    position: int = 0
    is_fault: bool = False
    """Something of the policy itself is wrong: refused whatever the binding's actions are."""
    names_binding: bool = True


class ValidatingPolicies(Plugin):
    resources = ANY
    operations = ("CREATE", "UPDATE", "DELETE", "CONNECT")

    def __init__(self, reader: Reader, equivalents: Equivalents, authorize: Authorize) -> None:
        self._policies: Policies[ValidatingProgram] = Policies(reader, equivalents, authorize, POLICIES, _program)

    def validate(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        policies = self._policies.concerned(a.group_resource, a.operation)
        if not policies:
            return
        refusals: list[tuple[str, str]] = []
        failures: list[Object] = []
        notes: dict[str, list[str]] = {}
        for match in self._policies.matches(policies, a, obj, old):
            actions = match.binding.spec.get("validationActions") or []
            for denial in self._denials(match, a, obj, notes):
                if denial.is_fault or "Deny" in actions:
                    refusals.append((_worded(match, denial), denial.reason or "Invalid"))
                if "Warn" in actions and not denial.is_fault:
                    who = f"Validation failed for ValidatingAdmissionPolicy '{match.policy.name}' with binding '{match.binding.name}'"
                    a.warnings.append(f"{who}: {denial.message}")
                if "Audit" in actions and not denial.is_fault:
                    failures.append(_noted(match, denial, actions))
        self._annotate(a, failures, notes)
        if refusals:
            raise _refused(a, obj, *refusals[0])

    def _denials(self, match: Match[ValidatingProgram], a: AdmissionAttributes, obj: Object | None, notes: dict[str, list[str]]) -> Iterator[Denial]:
        """What is wrong with the request."""
        try:
            program = self._policies.program(match.policy)
            parameters = self._policies.parameters(match, a, obj)
        except Unusable as problem:
            if match.policy.fails:
                yield Denial(problem.message, is_fault=True, names_binding=problem.whose == "binding")
            return
        bindings = self._policies.evaluator.bindings(a, match.seen)
        for params in parameters:
            yield from program.denials({**bindings, "params": params}, match.policy.name, notes)

    @staticmethod
    def _annotate(a: AdmissionAttributes, failures: list[Object], notes: dict[str, list[str]]) -> None:
        if failures:
            a.annotations[_FAILURE] = orjson.dumps(failures[:1]).decode()  # an annotation is not written twice
        for key, values in notes.items():
            a.annotations[key] = ", ".join(dict.fromkeys(values))


def _program(spec: Object) -> ValidatingProgram:
    from tiffin.apiserver.admission.validation import ValidatingProgram

    return ValidatingProgram(spec)


def _worded(match: Match[Any], denial: Denial) -> str:
    binding = f" with binding '{match.binding.name}'" if denial.names_binding else ""
    return f"ValidatingAdmissionPolicy '{match.policy.name}'{binding} denied request: {denial.message}"


def _noted(match: Match[Any], denial: Denial, actions: list[str]) -> Object:
    note = {"message": denial.message, "policy": match.policy.name, "binding": match.binding.name, "expressionIndex": denial.position}
    return note | {"validationActions": actions}


def _refused(a: AdmissionAttributes, obj: Object | None, message: str, reason: str) -> ApiError:
    error = forbidden(a, obj, message, [{"message": message}])
    error.reason, error.code = reason, CODES.get(reason, 422)
    return error
