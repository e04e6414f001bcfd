"""Whatever is sent to whichever kind by whichever verb: an answer, never a fault of the server; and what is refused changes nothing.

Bodies begin as objects that fit the kind's schema and are then damaged: types swapped, fields renamed, depth and size exaggerated, bytes cut.
"""
from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import orjson
import pytest
import pytest_asyncio

from tests.api.test_any_object import TEXTS, any_object
from tests.apiserver.inprocess import Answer, InProcess, in_process
from tiffin.api.kind import Kind, builtin_kinds
from tiffin.net.pki import Pki

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUNDS = 40
FAULT = "this is a fault of the server"
KINDS = [kind for kind in builtin_kinds() if kind.verbs]
JUNK: tuple[Any, ...] = (None, True, 0, -1, 2**63, 1e308, "", "x" * 5000, "\u0000", "ü\ud7ff", [], {}, [[]], [None], {"": None}, {"a": {"b": [1, {"c": None}]}}, [{}] * 50)
PATCHES = ("application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml")
TYPES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "text/plain", "")
QUERIES = (
    "", "dryRun=All", "dryRun=Some", "fieldManager=" + "m" * 200, "fieldValidation=Strict", "fieldValidation=Odd", "limit=-1", "limit=1&continue=abc",
    "resourceVersion=abc", "resourceVersion=1&resourceVersionMatch=Exact", "resourceVersionMatch=Odd", "labelSelector=a%20in%20(", "fieldSelector=metadata.name%3D",
    "fieldSelector=spec.nodeName%21%3Dx", "force=maybe", "gracePeriodSeconds=99999999999999999999", "propagationPolicy=Odd", "pretty=true", "%00=%ff", "timeoutSeconds=-1",
)
ACCEPTS = (
    "", "*/*", "application/yaml", "application/vnd.kubernetes.protobuf", "application/json;as=Table;v=v1;g=meta.k8s.io", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io, */*;q=0.1", "text/html", ";;;,,,q=x",
)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def api(pki: Pki) -> AsyncIterator[InProcess]:
    async with in_process(pki) as running:
        yield running


class Attacker:
    """Sends what the dice say, and looks at what comes back."""

    def __init__(self, api: InProcess, kind: Kind, dice: random.Random) -> None:
        self.api, self.kind, self.dice = api, kind, dice
        root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
        self.collection = f"{root}/namespaces/default/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"

    async def send(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        before = self.api.store.revision
        query = self.dice.choice(QUERIES) if self.dice.random() < 0.3 else ""
        accept = self.dice.choice(ACCEPTS) if self.dice.random() < 0.2 else ""
        sent = {**headers, **({"accept": accept} if accept else {})}
        response = await self.api.raw(method, f"{target}?{query}" if query else target, body, **sent)
        answer = Answer(response.status, response.headers, response.body)
        shown = f"{method} {target}?{query} {sent} {body[:2000]!r} -> {answer.status} {answer.body[:500]!r}"
        assert FAULT.encode() not in answer.body, shown
        assert b"Traceback" not in answer.body, shown
        if answer.status >= 400 and (method, target) != ("DELETE", self.collection):  # which ends at the first refusal, with some of them gone
            assert self.api.store.revision == before, f"what was refused has changed something: {shown}"
        if response.stream is not None and response.discard is not None:
            response.discard()
        return answer

    def name(self) -> str:
        return quote(self.dice.choice(("n", "n", "n", "system:a", "", "x" * 260, "../../secrets", "a/b", "%", "ü", "N", "n.m")), safe="")

    def damaged(self, value: Any, depth: int = 0) -> Any:
        """The value with a few things wrong somewhere inside."""
        if self.dice.random() < 0.03 or depth > 40:
            return self.dice.choice(JUNK)
        if isinstance(value, dict):
            items = [(key if self.dice.random() > 0.01 else self.dice.choice(TEXTS), self.damaged(each, depth + 1)) for key, each in value.items()]
            if self.dice.random() < 0.02:
                items.append((self.dice.choice(("metadata", "spec", "status", "kind", "$patch", "items", "ü")), self.dice.choice(JUNK)))
            return dict(items)
        if isinstance(value, list):
            return [self.damaged(each, depth + 1) for each in value]
        return value

    def body(self) -> bytes:
        obj: Any = any_object(self.kind, self.kind.schema, self.dice)
        obj["metadata"] = {"name": "n", **({"labels": {self.dice.choice(TEXTS): "v"}} if self.dice.random() < 0.2 else {})}
        if self.dice.random() < 0.6:
            obj = self.damaged(obj)
        data = encoded(obj)
        if self.dice.random() < 0.06:
            data = data[: self.dice.randrange(len(data) + 1)]
        if self.dice.random() < 0.06:
            at = self.dice.randrange(len(data) + 1)
            data = data[:at] + self.dice.randbytes(3) + data[at:]
        return data

    def patch(self, type: str) -> bytes:
        if type != PATCHES[0]:
            return self.body()
        pointers = ("/metadata/labels", "/spec", "/spec/containers/0", "/metadata/name", "", "/", "/a/-", "/spec/~2", "/data/k", "/status/conditions/99999999999")
        operations = [
            {"op": self.dice.choice(("add", "remove", "replace", "move", "copy", "test", "odd")), "path": self.dice.choice(pointers), "from": self.dice.choice(pointers),
             "value": self.dice.choice(JUNK)}
            for _ in range(self.dice.randrange(4))
        ]
        return encoded(self.damaged(operations))


def encoded(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, ValueError):
        return b'{"n": 1e999999}'


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.group_resource)
async def test_every_verb_survives(api: InProcess, kind: Kind) -> None:
    attacker = Attacker(api, kind, random.Random(f"fuzz {kind.group_resource}"))
    dice = attacker.dice
    item = f"{attacker.collection}/n"
    for _ in range(ROUNDS):
        content = TYPES[0] if dice.random() < 0.85 else dice.choice(TYPES)
        await attacker.send("POST", attacker.collection, attacker.body(), content_type=content)
        await attacker.send("PUT", f"{attacker.collection}/{attacker.name()}", attacker.body(), content_type=content)
        patch = dice.choice(PATCHES)
        await attacker.send("PATCH", item, attacker.patch(patch), content_type=patch)
        await attacker.send("GET", f"{attacker.collection}/{attacker.name()}")
        await attacker.send("GET", attacker.collection)
        for sub in kind.subresources:
            if sub.name in ("exec", "attach", "portforward", "proxy", "log"):
                continue  # these go on to a node
            patch = dice.choice(PATCHES)
            await attacker.send("PATCH", f"{item}/{sub.name}", attacker.patch(patch), content_type=patch)
            await attacker.send(dice.choice(("PUT", "POST", "GET", "DELETE")), f"{item}/{sub.name}", attacker.body(), content_type=content)
        if dice.random() < 0.3:
            await attacker.send("DELETE", item, attacker.body() if dice.random() < 0.5 else b"", content_type=content)
    await attacker.send("DELETE", attacker.collection)


async def test_paths_made_of_anything(api: InProcess) -> None:
    dice = random.Random("paths")
    attacker = Attacker(api, next(kind for kind in KINDS if kind.kind == "Pod"), dice)
    pieces = ("api", "apis", "v1", "apps", "namespaces", "default", "pods", "%2e%2e", "..", "%00", "", "watch", "status", "proxy", "ü", "x" * 300, "deployments", "openapi", "v3", "a%2Fb", "*", "healthz")
    for _ in range(600):
        path = "/" + "/".join(quote(dice.choice(pieces), safe="%*") for _ in range(dice.randrange(8)))
        await attacker.send(dice.choice(("GET", "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "ODD")), path, dice.choice((b"", b"{}", b"[]", b"\xff")))
