"""No object that fits a kind's schema brings its functions down: they answer with errors, never with an exception."""
from __future__ import annotations

import copy
import random
from datetime import UTC, datetime

import pytest

from tiffin.api.kind import Context, Kind, builtin_kinds
from tiffin.machinery import schema
from tiffin.machinery.decode import decode_object
from tiffin.machinery.object import Object

ROUNDS = 120
NOW = datetime(2024, 1, 1, tzinfo=UTC)
CONTEXT = Context(NOW)
TEXTS = (
    "", "a", "A.b/c", "x" * 300, "-1", "0", "100%", "250%", "9" * 5000, "9" * 5000 + "%", "10.0.0.1", "::1", "010.0.0.1/8", "10.0.0.0/16",
    "Always", "RollingUpdate", "Resource", "Pods", "Indexed", "0-3,5", "*/5 * * * *", "@every 1h", "@every 99999999999h", "NodePort", "ExternalName",
    "None", "TCP", "{", "ü\n", "In", "Exists", "2024-01-01T00:00:00Z", "kubernetes.io/tls", "/", "a=b", ".spec.replicas", "$(A)", "Utilization",
)
NUMBERS = (0, 1, -1, 5, 80, 30000, 2**31 - 1, -(2**31))
LEAVES = {
    schema.Quantity: ("1", "100m", "-1", "1Gi", 3, "0.5"),
    schema.IntOrString: (0, 80, -1, "25%", "http", "9" * 5000 + "%", ""),
    schema.Bytes: ("", "YQ==", "LS0tLS1CRUdJTg=="),
    schema.Raw: ({}, {"a": [1]}, {"kind": "X", "apiVersion": "v1"}),
}


def any_value(type: schema.Type, dice: random.Random, depth: int) -> object:
    """Any value the decoder takes: null and empty ones at every turn."""
    if dice.random() < 0.05:
        return None
    match type:
        case schema.Struct():
            share = 0.6 if depth < 3 else 0.35 if depth < 8 else 0.05
            return {name: any_value(field.type, dice, depth + 1) for name, field in type.fields.items() if dice.random() < share}
        case schema.List():
            return [any_value(type.items, dice, depth + 1) for _ in range(dice.choice((0, 1, 1, 2, 3) if depth < 10 else (0, 1)))]
        case schema.Map():
            return {dice.choice(TEXTS): any_value(type.values, dice, depth + 1) for _ in range(dice.choice((0, 1, 2)))}
        case schema.Scalar(kind="boolean"):
            return dice.random() < 0.5
        case schema.Scalar(kind="double"):
            return dice.choice((0.0, 1.5, -1e9))
        case schema.Scalar(kind="int32" | "int64"):
            return dice.choice(NUMBERS)
        case schema.Scalar():
            return dice.choice(type.enum if type.enum and dice.random() < 0.7 else TEXTS)
        case schema.Time():
            return "2024-01-01T00:00:00.000000Z" if type.micro else "2024-01-01T00:00:00Z"
        case schema.SchemaOr():
            return {"boolean": True, "list": {}, "strings": ["a"]}[type.alternative]
    return dice.choice(LEAVES[type.__class__])


def any_object(kind: Kind, name: str, dice: random.Random) -> Object:
    """As the request path hands it to a Kind: decoded, defaulted, in the stored version."""
    type = schema.definition(name)
    while True:
        obj = {field: any_value(made.type, dice, 0) for field, made in type.fields.items() if dice.random() < 0.8}
        obj = {field: value for field, value in obj.items() if value is not None}
        obj |= {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "n", "uid": "u", "annotations": {dice.choice(TEXTS): "1"}}}
        if kind.namespaced:
            obj["metadata"]["namespace"] = "default"
        try:
            decode_object(obj, type)
        except ValueError:
            continue  # such as 30-digit numbers where text was to be a quantity
        return obj


def exercise(kind: Kind, new: Object, old: Object) -> None:
    created = copy.deepcopy(new)
    kind.prepare_for_create(created, CONTEXT)
    kind.validate(created, CONTEXT)
    kind.warnings(created, None)
    for obj in (created, new):
        if kind.row:
            assert len(kind.row(obj, NOW)) == len(kind.columns) + (kind.kind == "IPAddress"), "only this kind shows a cell without a column"
        for read in kind.field_selectors.values():
            assert isinstance(read(obj), str)
    updated = copy.deepcopy(new)
    kind.prepare_for_update(updated, old, CONTEXT)
    kind.validate_update(updated, old, CONTEXT)
    kind.warnings(updated, old)
    for subresource in kind.subresources:
        if subresource.updates_object:
            changed = copy.deepcopy(new)
            subresource.prepare(changed, old, CONTEXT)
            subresource.validate(changed, old, CONTEXT)


@pytest.mark.parametrize("kind", [k for k in builtin_kinds() if k.stored], ids=lambda k: k.group_resource)
def test_every_function_answers(kind: Kind) -> None:
    dice = random.Random(kind.group_resource)
    for _ in range(ROUNDS):
        pair = [any_object(kind, kind.schema, dice) for _ in range(2)]
        for obj in pair:
            kind.default(obj)
            kind.normalize(obj)
        exercise(kind, *pair)
        for version in kind.versions:
            served = version.from_stored(pair[0])
            if version.row:
                version.row(served, NOW)
            other = version.to_stored(any_object(kind, version.schema, dice))
            kind.default(other)
            exercise(kind, other, pair[1])
