"""The same attacks on versions that Kubernetes has retired: every verb of each answers, whatever it is sent."""
from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from tests.api.test_any_object import TEXTS, any_value
from tests.apiserver.inprocess import InProcess, in_process
from tests.apiserver.test_fuzz import PATCHES, TYPES, Attacker, encoded
from tiffin.api.kind import Kind, builtin_kinds
from tiffin.api.legacy.load import with_legacy
from tiffin.apiserver.registry import Registry, Served
from tiffin.machinery.schema import definition
from tiffin.net.pki import Pki

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUNDS = 25
OLD = [served for served in Registry(with_legacy(builtin_kinds())) if served.owns_as_stored or served.kind.kind == "PodSecurityPolicy"]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def api(pki: Pki) -> AsyncIterator[InProcess]:
    async with in_process(pki, legacy_apis=True) as running:
        yield running


def as_kind(served: Served) -> Kind:
    """The version as if it were a kind of its own."""
    return replace(served.kind, group=served.resource.group, version=served.resource.version, schema=served.schema, default=lambda obj: None)


class OldAttacker(Attacker):
    """Bodies are of the old version, and name it."""

    def body(self) -> bytes:
        obj: Any = any_value(definition(self.kind.schema), self.dice, 0) or {}
        obj |= {"kind": self.kind.kind, "apiVersion": self.kind.api_version}
        obj["metadata"] = {"name": "n", **({"labels": {self.dice.choice(TEXTS): "v"}} if self.dice.random() < 0.2 else {})}
        return encoded(self.damaged(obj) if self.dice.random() < 0.4 else obj)


@pytest.mark.parametrize("served", OLD, ids=lambda served: f"{served.api_version} {served.kind.kind}")
async def test_every_verb_survives(api: InProcess, served: Served) -> None:
    kind = as_kind(served)
    attacker = OldAttacker(api, kind, random.Random(f"fuzz {served.resource}"))
    dice, item = attacker.dice, f"{attacker.collection}/n"
    for _ in range(ROUNDS):
        content = TYPES[0] if dice.random() < 0.9 else dice.choice(TYPES)
        await attacker.send("POST", attacker.collection, attacker.body(), content_type=content)
        await attacker.send("PUT", item, attacker.body(), content_type=content)
        for patch in (dice.choice(PATCHES), "application/apply-patch+yaml"):
            target = f"{item}?fieldManager=m&force=true" if "apply" in patch else item
            await attacker.send("PATCH", target, attacker.patch(patch), content_type=patch)
        await attacker.send("GET", attacker.collection, accept=dice.choice(("application/json", "application/json;as=Table;v=v1;g=meta.k8s.io")))
        for sub in kind.subresources:
            patch = dice.choice(PATCHES)
            await attacker.send("PATCH", f"{item}/{sub.name}", attacker.patch(patch), content_type=patch)
            await attacker.send(dice.choice(("PUT", "POST", "GET")), f"{item}/{sub.name}", attacker.body(), content_type=content)
        if dice.random() < 0.3:
            await attacker.send("DELETE", item)
    await attacker.send("DELETE", attacker.collection)
