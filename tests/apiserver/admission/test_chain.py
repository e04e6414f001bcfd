"""The chain: order, who is asked, and that a refusal ends it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest
from admission_world import ADMIN, NOW

from tiffin.api.core import node
from tiffin.api.core import pod as pod_kind
from tiffin.api.kind import Subresource
from tiffin.apiserver.admission.attributes import AdmissionAttributes, forbidden
from tiffin.apiserver.admission.chain import ANY, Admission, Plugin
from tiffin.apiserver.admission.plugins import default_plugins
from tiffin.apiserver.authz.authorizer import Authorizer
from tiffin.apiserver.context import Query, RequestContext, RequestInfo
from tiffin.apiserver.ports import MemoryReader
from tiffin.apiserver.registry import Registry, Served
from tiffin.apiserver.servicedial import ServiceDialer
from tiffin.apiserver.webhooks.client import WebhookClient
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object

CONTEXT = RequestContext(RequestInfo("create", "", True), Query({}), {}, ADMIN, now=NOW)
PODS, NODES = Served(pod_kind.KIND, None), Served(node.KIND, None)


class Recorder(Plugin):
    """Writes down when it was asked; `resources` and `operations` are set per test."""

    resources = ("pods",)

    def __init__(self, name: str, log: list[str], refuse: bool = False) -> None:
        self.name, self.log, self.refuse = name, log, refuse

    def admit(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        self.log.append(f"{self.name} admit {a.operation} {a.namespace}/{a.name}")
        if self.refuse:
            raise forbidden(a, obj, "no")


class Outside(Plugin):
    resources = ANY
    operations = ("CREATE", "DELETE")

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def validate(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> Awaitable[None]:
        async def ask() -> None:
            self.log.append(f"outside {a.kind} {a.operation} {a.subresource}")

        return ask()


def pod(**metadata: Any) -> Object:
    return {"metadata": {"namespace": "a"} | metadata}


async def test_order_and_choice() -> None:
    log: list[str] = []
    chain = Admission([Recorder("one", log), Outside(log), Recorder("two", log)])
    await chain.admit(CONTEXT, "CREATE", PODS, pod(name="x"), None)
    await chain.validate(CONTEXT, "CREATE", PODS, pod(name="x"), None, Subresource("binding"))
    await chain.admit(CONTEXT, "UPDATE", PODS, pod(name="x"), pod(name="x"))
    await chain.admit(CONTEXT, "DELETE", PODS, None, pod(name="x"))
    await chain.validate(CONTEXT, "DELETE", NODES, None, {"metadata": {"name": "n"}})
    assert log == [
        "one admit CREATE a/",
        "two admit CREATE a/",
        "outside Pod CREATE binding",
        "one admit UPDATE a/x",
        "two admit UPDATE a/x",
        "outside Node DELETE ",
    ]


@pytest.mark.parametrize(("metadata", "name"), [({"name": "x"}, "x"), ({"generateName": "x-"}, "x-"), ({}, "Unknown")])
async def test_a_refusal_ends_the_chain_and_names_the_object(metadata: Object, name: str) -> None:
    log: list[str] = []
    with pytest.raises(ApiError) as caught:
        await Admission([Recorder("one", log, True), Recorder("two", log)]).admit(CONTEXT, "CREATE", PODS, pod(**metadata), None)
    assert caught.value.message == f'pods "{name}" is forbidden: no' and len(log) == 1


def test_the_servers_plugins_are_in_kubernetes_order() -> None:
    async def charge(new: Object, old: Object) -> bool:
        return True

    reader = MemoryReader()
    webhooks = WebhookClient(ServiceDialer(reader).resolve)
    plugins = default_plugins(reader, Authorizer(reader), Registry(), webhooks, charge, lambda: "x", allow_external_ips=False)
    names = [type(p).__name__ for p in plugins]
    assert names[0] == "NamespaceLifecycle" and names[-1] == "ResourceQuota"
    assert names.index("MutatingWebhooks") < names.index("ValidatingWebhooks")
    assert names.index("LimitRanger") < names.index("ServiceAccount") < names.index("NodeRestriction") < names.index("Priority")
    assert "DenyServiceExternalIPs" in names
