"""One ValidatingAdmissionPolicy compiled: its conditions, variables, validations and audit annotations. Loaded when there is one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tiffin.api.admissionregistration.expressions import ANNOTATION, CONDITION, MESSAGE, Scope
from tiffin.apiserver.admission.evaluation import OUT_OF_BUDGET, Bindings, Conditions, Failed, Variables, evaluated
from tiffin.apiserver.admission.validatingpolicies import Denial
from tiffin.machinery.cel import Budget, Program
from tiffin.machinery.object import Object

MOST_MESSAGE, MOST_ANNOTATION = 5 * 1024, 10 * 1024
"""Bytes of a message that an expression makes, and of an audit annotation."""


class _Validation(NamedTuple):
    program: Program
    message: Program | None
    spec: Object


class _OutOfBudget(Exception):
    """Nothing is said of a request whose validations cost too much but that."""


class ValidatingProgram:
    """Raises CompilationError where the spec does not compile."""

    def __init__(self, spec: Object) -> None:
        params = spec.get("paramKind") is not None
        self._fails = spec.get("failurePolicy") != "Ignore"
        self._conditions = Conditions(spec.get("matchConditions") or (), self._fails, params)
        scope = Scope(params)
        self._variables = Variables(spec.get("variables") or (), scope)
        self._validations = [
            _Validation(
                scope.compile(v["expression"], CONDITION),
                scope.compile(v["messageExpression"], MESSAGE, False) if v.get("messageExpression") else None,
                v,
            )
            for v in spec.get("validations") or ()
        ]
        self._annotations = [(a["key"], scope.compile(a["valueExpression"], ANNOTATION)) for a in spec.get("auditAnnotations") or ()]

    def denials(self, bindings: Bindings, policy: str, notes: dict[str, list[str]]) -> Iterator[Denial]:
        """What the policy has against a request; audit annotations are added to `notes`."""
        try:
            if not self._conditions.hold(bindings):
                return
        except Failed as failed:
            yield Denial(str(failed))
            return
        budget = Budget()
        complete = self._variables.added(bindings, budget)
        try:
            found = self._found(complete, budget)
        except _OutOfBudget:
            if self._fails:
                yield Denial(OUT_OF_BUDGET)
            return
        yield from found
        if self._annotations:
            own = Budget()
            yield from self._noted(self._variables.added(bindings, own), own, policy, notes)

    def _found(self, bindings: Bindings, budget: Budget) -> list[Denial]:
        """What the validations have against a request. Messages are made after all of them were evaluated."""
        outcomes: list[bool | str] = []
        for validation in self._validations:
            try:
                outcomes.append(evaluated(validation.program, bindings, budget) is True)
            except Failed as failed:
                if str(failed) == OUT_OF_BUDGET:
                    raise _OutOfBudget from failed
                outcomes.append(str(failed))
        found: list[Denial] = []
        for index, (validation, outcome) in enumerate(zip(self._validations, outcomes, strict=True)):
            if outcome is False:
                found.append(Denial(self._message(validation, bindings, budget), validation.spec.get("reason") or "", index))
            elif isinstance(outcome, str) and self._fails:
                found.append(Denial(outcome, "", index))
        return found

    @staticmethod
    def _message(validation: _Validation, bindings: Bindings, budget: Budget) -> str:
        """The message of the expression, else the fixed one, else the failed expression itself."""
        if validation.message is not None:
            try:
                text: Any = evaluated(validation.message, bindings, budget)
            except Failed:
                text = ""
            made = text.strip() if isinstance(text, str) else ""
            if made and len(made.encode()) <= MOST_MESSAGE and "\n" not in made:
                return made
        fixed: str = (validation.spec.get("message") or "").strip()
        return fixed or f"failed expression: {validation.spec['expression'].strip()}"

    def _noted(self, bindings: Bindings, budget: Budget, policy: str, notes: dict[str, list[str]]) -> Iterator[Denial]:
        for key, program in self._annotations:
            try:
                value = evaluated(program, bindings, budget)
            except Failed as failed:
                if self._fails:
                    yield Denial(str(failed), is_fault=True)
                continue
            if isinstance(value, str) and value.strip():
                notes.setdefault(f"{policy}/{key}", []).append(value.strip()[:MOST_ANNOTATION])
