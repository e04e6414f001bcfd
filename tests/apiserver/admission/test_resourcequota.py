"""Quotas: what is refused and how it is told, what is charged, and that concurrent requests cannot exceed one together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from admission_world import ADMIN, PODS, attempt, attributes, named, pod

from tiffin.api.core.quotausage import matches, usage
from tiffin.apiserver.admission.resourcequota import QUOTAS, ResourceQuota
from tiffin.apiserver.ports import MemoryReader
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource

SERVICES = Resource("", "v1", "services")
CLAIMS = Resource("", "v1", "persistentvolumeclaims")
LEASES = Resource("coordination.k8s.io", "v1", "leases")


class Store:
    """A quota and its charges. `slow` lets other requests run between reading and writing; `losses` charges come too late."""

    def __init__(self, hard: Object, used: Object | None = None, slow: bool = False, losses: int = 0, **spec: Any) -> None:
        self.reader, self.slow, self.losses = MemoryReader(), slow, losses
        status = {"hard": hard, "used": used if used is not None else dict.fromkeys(hard, "0")}
        self.reader.put(QUOTAS, named("q", "a", spec={"hard": hard, **spec}, status=status))
        self.plugin = ResourceQuota(self.reader, self.charge)

    async def charge(self, new: Object, old: Object) -> bool:
        if self.slow:
            await asyncio.sleep(0)
        stored = self.reader.get(QUOTAS, "a", "q")
        if self.losses or stored is not old:
            self.losses -= 1
            return False
        self.reader.put(QUOTAS, new)
        return True

    @property
    def used(self) -> Object:
        quota = self.reader.get(QUOTAS, "a", "q")
        assert quota is not None
        used: Object = quota["status"]["used"]
        return used


def container(cpu: str = "", memory: str = "") -> list[Object]:
    resources = ({"requests": {"cpu": cpu}} if cpu else {}) | ({"limits": {"memory": memory}} if memory else {})
    return [{"name": "c", "resources": resources}]


HARD = {"pods": "2", "requests.cpu": "1", "limits.memory": "1Gi"}


def test_pods_are_counted_and_refused() -> None:
    store = Store(HARD)
    told = "failed quota: q: must specify limits.memory for: c; requests.cpu for: c"
    assert attempt(store.plugin, "CREATE", PODS, pod()) == told
    assert attempt(store.plugin, "CREATE", PODS, pod(containers=container("400m", "512Mi"))) == ""
    assert store.used == {"pods": "1", "requests.cpu": "400m", "limits.memory": "512Mi"}
    told = (
        "exceeded quota: q, requested: limits.memory=600Mi,requests.cpu=700m, used: limits.memory=512Mi,requests.cpu=400m, "
        "limited: limits.memory=1Gi,requests.cpu=1"
    )
    assert attempt(store.plugin, "CREATE", PODS, pod("b", containers=container("700m", "600Mi"))) == told
    assert attempt(store.plugin, "CREATE", PODS, pod("b", containers=container("100m", "1Mi"))) == ""
    told = "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"
    assert attempt(store.plugin, "CREATE", PODS, pod("d", containers=container("100m", "1Mi"))) == told
    assert attempt(store.plugin, "CREATE", PODS, pod(namespace="b")) == ""


def test_a_dry_run_charges_nothing() -> None:
    store = Store(HARD)
    assert attempt(store.plugin, "CREATE", PODS, pod(containers=container("1", "1Mi")), dry_run=True) == ""
    assert attempt(store.plugin, "CREATE", PODS, pod(containers=container("2", "1Mi")), dry_run=True) != ""
    assert store.used["pods"] == "0"


def test_uncounted_quotas_refuse() -> None:
    store = Store({"pods": "2"}, used={})
    assert attempt(store.plugin, "CREATE", PODS, pod()) == "status unknown for quota: q, resources: pods"


def test_a_charge_that_came_too_late_is_made_again() -> None:
    store = Store({"pods": "2"}, losses=3)
    assert attempt(store.plugin, "CREATE", PODS, pod()) == "" and store.used == {"pods": "1"}


async def test_concurrent_requests_cannot_exceed_a_quota_together() -> None:
    store = Store({"pods": "3"}, slow=True)

    async def create(number: int) -> bool:
        obj = pod(f"p{number}")
        waiting = store.plugin.validate(attributes("CREATE", PODS, obj, None, ADMIN, ""), obj, None)
        assert waiting is not None
        try:
            await waiting
        except ApiError:
            return False
        return True

    admitted = await asyncio.gather(*(create(number) for number in range(10)))
    assert sum(admitted) == 3 and store.used == {"pods": "3"}


def service(kind: str, *ports: int, **spec: Any) -> Object:
    return named("s", "a", spec={"type": kind, "ports": [{"port": p} for p in ports], **spec})


def claim(size: str, storage_class: str = "gold") -> Object:
    return named("c", "a", spec={"storageClassName": storage_class, "resources": {"requests": {"storage": size}}})


@pytest.mark.parametrize(
    ("resource", "obj", "expected"),
    [
        (LEASES, named("l", "a"), {"count/leases.coordination.k8s.io": "1"}),
        (Resource("", "v1", "secrets"), named("s", "a"), {"count/secrets": "1", "secrets": "1"}),
        (
            SERVICES,
            service("LoadBalancer", 80, 443),
            {"count/services": "1", "services": "1", "services.nodeports": "2", "services.loadbalancers": "1"},
        ),
        (
            SERVICES,
            service("LoadBalancer", 80, allocateLoadBalancerNodePorts=False),
            {"count/services": "1", "services": "1", "services.nodeports": "0", "services.loadbalancers": "1"},
        ),
        (
            CLAIMS,
            claim("2Gi"),
            {
                "count/persistentvolumeclaims": "1",
                "persistentvolumeclaims": "1",
                "requests.storage": "2Gi",
                "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
                "gold.storageclass.storage.k8s.io/requests.storage": "2Gi",
            },
        ),
        (
            PODS,
            pod(
                containers=[
                    {"name": "c", "resources": {"requests": {"cpu": "1", "example.com/gpu": "2"}, "limits": {"example.com/gpu": "2"}}}
                ]
            ),
            {"count/pods": "1", "pods": "1", "cpu": "1", "requests.cpu": "1", "requests.example.com/gpu": "2"},
        ),
        (PODS, pod() | {"status": {"phase": "Succeeded"}}, {"count/pods": "1"}),
    ],
)
def test_what_objects_count_for(resource: Resource, obj: Object, expected: Object) -> None:
    assert usage(resource, obj) == expected


def test_services_leases_and_claims_are_refused_by_name() -> None:
    hard = {"count/leases.coordination.k8s.io": "1", "services.loadbalancers": "0", "services.nodeports": "1", "requests.storage": "5Gi"}
    store = Store(hard)
    assert attempt(store.plugin, "CREATE", LEASES, named("x", "a")) == ""
    name = "count/leases.coordination.k8s.io"
    assert (
        attempt(store.plugin, "CREATE", LEASES, named("y", "a"))
        == f"exceeded quota: q, requested: {name}=1, used: {name}=1, limited: {name}=1"
    )
    told = "exceeded quota: q, requested: services.loadbalancers=1, used: services.loadbalancers=0, limited: services.loadbalancers=0"
    assert attempt(store.plugin, "CREATE", SERVICES, service("LoadBalancer", 80)) == told
    assert attempt(store.plugin, "CREATE", CLAIMS, claim("5Gi")) == "" and store.used["requests.storage"] == "5Gi"


def test_updates_charge_what_is_added() -> None:
    store = Store({"services.nodeports": "1"})
    before, after = service("ClusterIP", 80), service("NodePort", 80)
    assert attempt(store.plugin, "UPDATE", SERVICES, after, before) == "" and store.used == {"services.nodeports": "1"}
    assert attempt(store.plugin, "UPDATE", SERVICES, after, after) == ""
    assert "exceeded" in attempt(store.plugin, "UPDATE", SERVICES, service("NodePort", 80, 81), after)


SCOPES = [
    ("Terminating", {"activeDeadlineSeconds": 5}, True),
    ("Terminating", {}, False),
    ("NotTerminating", {}, True),
    ("BestEffort", {}, True),
    ("BestEffort", {"containers": container("1")}, False),
    ("NotBestEffort", {"containers": container("1")}, True),
]


@pytest.mark.parametrize(("scope", "spec", "expected"), SCOPES)
def test_scopes(scope: str, spec: Object, expected: bool) -> None:
    assert matches(named("q", "a", spec={"scopes": [scope]}), PODS, pod(**spec)) is expected
    assert matches(named("q", "a", spec={"scopes": [scope]}), SERVICES, service("ClusterIP")) is False


@pytest.mark.parametrize(
    ("operator", "values", "name", "expected"),
    [
        ("In", ["high"], "high", True),
        ("In", ["high"], "", False),
        ("NotIn", ["high"], "low", True),
        ("NotIn", ["high"], "high", False),
        ("Exists", [], "x", True),
        ("DoesNotExist", [], "", True),
    ],
)
def test_scope_of_priority_classes(operator: str, values: list[str], name: str, expected: bool) -> None:
    selector = {"matchExpressions": [{"scopeName": "PriorityClass", "operator": operator, "values": values}]}
    assert matches(named("q", "a", spec={"scopeSelector": selector}), PODS, pod(priorityClassName=name)) is expected
