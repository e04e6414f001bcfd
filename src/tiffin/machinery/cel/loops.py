"""The loops behind macros. A step's cost is charged as it is taken, and the loop ends when the call has spent what it may.

`all` and `exists` absorb errors of single elements when another element decides; the others do not. Source: cel-spec "Macros"; the
costs of a step are those of the expansion in `macros.py`, counted once.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiffin.machinery.cel import operators
from tiffin.machinery.cel.errors import CostExceeded, EvaluationError
from tiffin.machinery.cel.values import Optional, has_key, type_name

Frame = list[Any]
Code = Callable[[Frame], Any]
Part = tuple[Code, int]

UNSET = object()
"""What stands in a frame for a variable nobody gave a value."""

_ALL_AGAIN, _EXISTS_AGAIN, _STEP = 2, 3, 1
"""What it costs to see whether to go on, and to look at what there is so far."""

_KEEP, _COUNT, _RESULT = 12, 2, 1


def loop(shape: str, range_: Code, first: int, second: int, inner: list[Part]) -> tuple[Code, int]:
    """(code of a macro's loop, what it costs beyond range and steps)."""
    steps = _steps(range_, first, second)
    match shape:
        case "all":
            return _settle(steps, inner[0], False, _ALL_AGAIN), _RESULT
        case "exists":
            return _settle(steps, inner[0], True, _EXISTS_AGAIN), _RESULT
        case "exists_one":
            return _exactly_one(steps, inner[0]), _RESULT + 1
        case "map":
            return _collect(steps, inner[:-1], inner[-1]), _RESULT
        case "transform_map":
            return _transform(steps, inner[:-1], inner[-1], first), _RESULT
        case "transform_entry":
            return _transform(steps, inner[:-1], inner[-1], 0), _RESULT
    raise ValueError(shape)


def _steps(range_: Code, first: int, second: int) -> Callable[[Frame], Any]:
    """A generator that puts one element after the other into the frame."""
    def single(frame: Frame) -> Any:
        for item in operators.iterated(range_(frame)):
            frame[first] = item
            yield

    def paired(frame: Frame) -> Any:
        for key, value in operators.iterated_pairs(range_(frame)):
            frame[first] = key
            frame[second] = value
            yield
    return paired if second else single


def _charge(frame: Frame, cost: int) -> None:
    frame[0] -= cost
    if frame[0] < 0:
        raise CostExceeded


def _settle(steps: Callable[[Frame], Any], predicate: Part, decisive: bool, again: int) -> Code:
    test, test_cost = predicate
    cost = again + _STEP + test_cost

    def settle(frame: Frame) -> bool:
        failure: EvaluationError | None = None
        following = steps(frame)
        for _ in following:
            frame[0] -= cost
            if frame[0] < 0:
                raise CostExceeded
            try:
                value = test(frame)
            except EvaluationError as error:
                failure = failure or error
                continue
            if value is decisive:
                # Kubernetes notices when it looks at the next element, if there is one
                frame[0] -= again if next(following, following) is None else 0
                return decisive
            if value is not (not decisive):
                failure = failure or EvaluationError(operators.NO_OVERLOAD)
        if failure is not None:
            raise failure
        return not decisive
    return settle


def _passes(tests: list[Part]) -> tuple[Callable[[Frame], bool], int]:
    if not tests:
        return lambda frame: True, 0
    test, cost = tests[0]

    def passes(frame: Frame) -> bool:
        value = test(frame)
        if value is True or value is False:
            return value
        raise EvaluationError(operators.NO_OVERLOAD)
    return passes, cost


def _exactly_one(steps: Callable[[Frame], Any], predicate: Part) -> Code:
    passes, cost = _passes([predicate])

    def count(frame: Frame) -> bool:
        found = 0
        for _ in steps(frame):
            _charge(frame, cost)
            if passes(frame):
                frame[0] -= _COUNT
                found += 1
        return found == 1
    return count


def _collect(steps: Callable[[Frame], Any], tests: list[Part], kept: Part) -> Code:
    passes, cost = _passes(tests)
    value, value_cost = kept
    keep = _KEEP + value_cost

    def collect(frame: Frame) -> list[Any]:
        made = []
        for _ in steps(frame):
            _charge(frame, cost)
            if passes(frame):
                _charge(frame, keep)
                made.append(value(frame))
        return made
    return collect


def _transform(steps: Callable[[Frame], Any], tests: list[Part], kept: Part, key_slot: int) -> Code:
    passes, cost = _passes(tests)
    value, value_cost = kept

    def transform(frame: Frame) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for _ in steps(frame):
            _charge(frame, cost)
            if not passes(frame):
                continue
            _charge(frame, value_cost + (3 if key_slot else 2))
            # the key may be overwritten by a loop within the value
            key = frame[key_slot] if key_slot else None
            result = value(frame)
            for new, item in ((key, result),) if key_slot else result.items():
                if has_key(made, new):
                    raise EvaluationError(f"insert failed: key {operators.shown(new)} already exists")
                made[new] = item
        return made
    return transform


def bind(slot: int, initial: Code, body: Code) -> Code:
    """A local variable."""
    def bound(frame: Frame) -> Any:
        frame[slot] = initial(frame)
        return body(frame)
    return bound


def insert(made: dict[Any, Any], key: Any, value: Any, optional: bool) -> None:
    """Put an entry into a map literal. Raises EvaluationError for a key twice, or of a type that is none."""
    if type(key) is float or not isinstance(key, str | int):
        raise EvaluationError(f"unsupported key type: {type_name(key)}")
    if has_key(made, key):
        raise EvaluationError(f"Failed with repeated key: {operators.shown(key)}")
    put(made, key, value, optional)


def put(made: dict[Any, Any], key: Any, value: Any, optional: bool) -> None:
    """Put an entry; an optional one only when it has a value."""
    if not optional:
        made[key] = value
    elif type(value) is not Optional:
        raise EvaluationError(f"cannot initialize optional entry '{operators.shown(key)}' from non-optional value {type_name(value)}")
    elif value.present:
        made[key] = value.value
