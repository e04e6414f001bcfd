"""The admission plugins that complete or refuse single objects."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import orjson
import pytest
from admission_world import ADMIN, PODS, attempt, attributes, named, pod

from tiffin.apiserver.admission.claimresize import PersistentVolumeClaimResize
from tiffin.apiserver.admission.classes import (
    INGRESS_CLASSES,
    RUNTIME_CLASSES,
    STORAGE_CLASSES,
    DefaultIngressClass,
    DefaultStorageClass,
    RuntimeClass,
    StorageObjectInUseProtection,
)
from tiffin.apiserver.admission.externalips import DenyServiceExternalIPs
from tiffin.apiserver.admission.limitranger import LIMIT_RANGES, LimitRanger
from tiffin.apiserver.admission.namespace import NAMESPACES, NamespaceLifecycle
from tiffin.apiserver.admission.priority import PRIORITY_CLASSES, Priority
from tiffin.apiserver.admission.serviceaccount import SERVICE_ACCOUNTS, ServiceAccount
from tiffin.apiserver.admission.tolerations import DefaultTolerationSeconds, TaintNodesByCondition
from tiffin.apiserver.ports import MemoryReader
from tiffin.machinery.object import Object, Resource

CONFIG_MAPS = Resource("", "v1", "configmaps")
CLAIMS = Resource("", "v1", "persistentvolumeclaims")
SERVICES = Resource("", "v1", "services")


def reader(*stored: tuple[Resource, Object]) -> MemoryReader:
    found = MemoryReader()
    for resource, obj in stored:
        found.put(resource, obj)
    return found


# namespaces


def test_nothing_new_in_a_namespace_that_is_missing_or_going() -> None:
    going = named("going", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    plugin = NamespaceLifecycle(reader((NAMESPACES, named("a")), (NAMESPACES, going)))
    assert attempt(plugin, "CREATE", CONFIG_MAPS, named("x", "a")) == ""
    assert attempt(plugin, "CREATE", CONFIG_MAPS, named("x", "none")) == 'namespaces "none" not found'
    refused = "unable to create new content in namespace going because it is being terminated"
    assert attempt(plugin, "CREATE", CONFIG_MAPS, named("x", "going")) == refused
    assert attempt(plugin, "UPDATE", CONFIG_MAPS, named("x", "going"), named("x", "going")) == ""
    assert attempt(plugin, "CREATE", Resource("", "v1", "nodes"), named("x")) == ""


@pytest.mark.parametrize(("name", "refused"), [("default", True), ("kube-system", True), ("kube-public", True), ("a", False)])
def test_namespaces_that_never_go(name: str, refused: bool) -> None:
    told = attempt(NamespaceLifecycle(MemoryReader()), "DELETE", NAMESPACES, None, named(name))
    assert told == ("this namespace may not be deleted" if refused else "")


# service accounts


def accounts(**fields: Any) -> ServiceAccount:
    return ServiceAccount(reader((SERVICE_ACCOUNTS, named("default", "a", **fields))), iter(["aaaaa", "bbbbb"]).__next__)


def test_a_pod_gets_its_account_token_and_pull_secrets() -> None:
    obj = pod(initContainers=[{"name": "i", "image": "i"}])
    assert attempt(accounts(imagePullSecrets=[{"name": "reg"}]), "CREATE", PODS, obj) == ""
    spec = obj["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"], spec["imagePullSecrets"]) == ("default", "default", [{"name": "reg"}])
    mount = {"name": "kube-api-access-aaaaa", "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    assert spec["containers"][0]["volumeMounts"] == spec["initContainers"][0]["volumeMounts"] == [mount]
    [volume] = spec["volumes"]
    assert volume["name"] == "kube-api-access-aaaaa" and volume["projected"]["defaultMode"] == 420
    assert volume["projected"]["sources"][0] == {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}


@pytest.mark.parametrize(
    ("account", "spec", "mounted"),
    [
        ({}, {}, True),
        ({}, {"automountServiceAccountToken": False}, False),
        ({"automountServiceAccountToken": False}, {}, False),
        ({"automountServiceAccountToken": False}, {"automountServiceAccountToken": True}, True),
    ],
)
def test_who_decides_about_mounting(account: Object, spec: Object, mounted: bool) -> None:
    obj = pod(**spec)
    assert attempt(accounts(**account), "CREATE", PODS, obj) == ""
    assert ("volumes" in obj["spec"]) is mounted


def test_a_mount_of_ones_own_is_respected_and_names_do_not_clash() -> None:
    own = {"name": "x", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    obj = pod(containers=[{"name": "c", "volumeMounts": [own]}])
    assert attempt(accounts(), "CREATE", PODS, obj) == "" and "volumes" not in obj["spec"]
    taken = pod(volumes=[{"name": "kube-api-access-aaaaa", "emptyDir": {}}])
    assert attempt(accounts(), "CREATE", PODS, taken) == ""
    assert [v["name"] for v in taken["spec"]["volumes"]] == ["kube-api-access-aaaaa", "kube-api-access-bbbbb"]


async def test_the_default_account_of_a_new_namespace_is_awaited() -> None:
    accounts_ = MemoryReader()
    obj = pod()
    waiting = ServiceAccount(accounts_, lambda: "aaaaa").admit(attributes("CREATE", PODS, obj, None, ADMIN, ""), obj, None)
    assert waiting is not None
    task = asyncio.ensure_future(waiting)
    await asyncio.sleep(0)
    accounts_.put(SERVICE_ACCOUNTS, named("default", "a"))
    await task
    assert obj["spec"]["volumes"]


def test_accounts_that_are_missing_or_strict() -> None:
    told = attempt(accounts(), "CREATE", PODS, pod(serviceAccountName="none"))
    assert told == 'error looking up service account a/none: serviceaccount "none" not found'
    strict = accounts(metadata={"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}, secrets=[{"name": "ok"}])
    quiet = {"automountServiceAccountToken": False}
    assert attempt(strict, "CREATE", PODS, pod(volumes=[{"name": "v", "secret": {"secretName": "ok"}}], **quiet)) == ""
    for kind in ("containers", "initContainers", "ephemeralContainers"):  # every kind of container is walked
        env = [{"name": "c", "envFrom": [{"secretRef": {"name": "other"}}]}]
        assert "does not reference that secret" in attempt(strict, "CREATE", PODS, pod(**quiet, **{kind: env}))


SECRET_VOLUMES: list[Object] = [
    {"secret": {"secretName": "other"}}, {"projected": {"sources": [{"configMap": {"name": "c"}}, {"secret": {"name": "other"}}]}},
    {"csi": {"driver": "d", "nodePublishSecretRef": {"name": "other"}}}, {"flexVolume": {"driver": "d", "secretRef": {"name": "other"}}},
    {"cephfs": {"monitors": ["m"], "secretRef": {"name": "other"}}}, {"rbd": {"monitors": ["m"], "image": "i", "secretRef": {"name": "other"}}},
    {"iscsi": {"targetPortal": "t", "iqn": "i", "lun": 0, "secretRef": {"name": "other"}}}, {"azureFile": {"secretName": "other", "shareName": "s"}},
    {"scaleIO": {"gateway": "g", "system": "s", "secretRef": {"name": "other"}}}, {"storageos": {"secretRef": {"name": "other"}}},
]  # fmt: skip


@pytest.mark.parametrize("kind", ["initContainers", "containers", "ephemeralContainers"])
@pytest.mark.parametrize("field", [
    {"envFrom": [{"secretRef": {"name": "other"}}]}, {"env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "other", "key": "k"}}}]},
])  # fmt: skip
def test_attack_16_no_kind_of_container_gets_around_mountable_secrets(kind: str, field: Object) -> None:
    """CVE-2023-2728, CVE-2024-3177: an account that limits its secrets limits them for every container and every reference."""
    enforced = named("default", "a", metadata={"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}, secrets=[{"name": "mine"}])
    plugin = ServiceAccount(reader((SERVICE_ACCOUNTS, enforced)), lambda: "abcde")
    obj = pod(serviceAccountName="default")
    obj["spec"][kind] = [{"name": "c", "image": "i", **field}]
    operation, old, sub = ("UPDATE", pod(), "ephemeralcontainers") if kind == "ephemeralContainers" else ("CREATE", None, "")
    told = attempt(plugin, operation, PODS, obj, old, subresource=sub)
    assert told.startswith('container c references secret.secretName="other" which is not allowed because service account default')


@pytest.mark.parametrize("volume", SECRET_VOLUMES)
def test_attack_16_no_kind_of_volume_gets_around_mountable_secrets(volume: Object) -> None:
    enforced = named("default", "a", metadata={"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}, secrets=[{"name": "mine"}])
    plugin = ServiceAccount(reader((SERVICE_ACCOUNTS, enforced)), lambda: "abcde")
    quiet = {"serviceAccountName": "default", "automountServiceAccountToken": False}
    told = attempt(plugin, "CREATE", PODS, pod(volumes=[{"name": "v", **volume}], **quiet))
    assert told.startswith('volume with secret.secretName="other" is not allowed because service account default')
    mine = orjson.loads(orjson.dumps(volume).replace(b"other", b"mine"))
    assert attempt(plugin, "CREATE", PODS, pod(volumes=[{"name": "v", **mine}], **quiet)) == ""


def test_attack_16_pull_secrets_are_limited_too() -> None:
    enforced = named("default", "a", metadata={"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}, imagePullSecrets=[{"name": "mine"}])
    plugin = ServiceAccount(reader((SERVICE_ACCOUNTS, enforced)), lambda: "abcde")
    told = attempt(plugin, "CREATE", PODS, pod(imagePullSecrets=[{"name": "mine"}, {"name": "other"}], serviceAccountName="default"))
    assert told.startswith('imagePullSecrets[1].name="other" is not allowed because service account default')


@pytest.mark.parametrize("spec", [
    *({"volumes": [{"name": "v", **volume}]} for volume in SECRET_VOLUMES),
    *({kind: [{"name": "c", "envFrom": [{"secretRef": {"name": "other"}}]}]} for kind in ("initContainers", "containers", "ephemeralContainers")),
    *({kind: [{"name": "c", "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "other", "key": "k"}}}]}]} for kind in ("initContainers", "containers")),
    {"imagePullSecrets": [{"name": "other"}]},
])  # fmt: skip
def test_attack_16_mirror_pods_use_no_secret_by_any_reference(spec: Object) -> None:
    told = attempt(accounts(), "CREATE", PODS, pod(annotations={"kubernetes.io/config.mirror": "x"}, **spec))
    assert told == "a mirror pod may not reference secrets"


def test_mirror_pods_get_and_may_use_nothing() -> None:
    mirror = {"kubernetes.io/config.mirror": "x"}
    obj = pod(annotations=mirror)
    assert attempt(accounts(), "CREATE", PODS, obj) == "" and "serviceAccountName" not in obj["spec"]
    assert (
        attempt(accounts(), "CREATE", PODS, pod(annotations=mirror, serviceAccountName="x"))
        == "a mirror pod may not reference service accounts"
    )
    volume = {"name": "v", "secret": {"secretName": "s"}}
    assert attempt(accounts(), "CREATE", PODS, pod(annotations=mirror, volumes=[volume])) == "a mirror pod may not reference secrets"


# tolerations and taints


def test_pods_tolerate_a_broken_node_for_a_while() -> None:
    obj = pod()
    attempt(DefaultTolerationSeconds(), "CREATE", PODS, obj)
    assert [(t["key"], t["tolerationSeconds"]) for t in obj["spec"]["tolerations"]] == [
        ("node.kubernetes.io/not-ready", 300),
        ("node.kubernetes.io/unreachable", 300),
    ]
    own = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
    obj = pod(tolerations=[own])
    attempt(DefaultTolerationSeconds(), "CREATE", PODS, obj)
    assert [t["key"] for t in obj["spec"]["tolerations"]] == ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]
    everything = pod(tolerations=[{"operator": "Exists"}])
    attempt(DefaultTolerationSeconds(), "CREATE", PODS, everything)
    assert everything["spec"]["tolerations"] == [{"operator": "Exists"}]


def test_new_nodes_are_not_ready() -> None:
    node = named("n1", spec={})
    attempt(TaintNodesByCondition(), "CREATE", Resource("", "v1", "nodes"), node)
    attempt(TaintNodesByCondition(), "CREATE", Resource("", "v1", "nodes"), node)
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]


# priority


SYSTEM = named("system-node-critical", value=2000001000)


def priorities(*classes: Object) -> Priority:
    return Priority(reader(*((PRIORITY_CLASSES, c) for c in (SYSTEM, *classes))))


@pytest.mark.parametrize(
    ("spec", "told", "value", "policy"),
    [
        ({}, "", 0, "PreemptLowerPriority"),
        ({"priorityClassName": "high"}, "", 1000, "Never"),
        ({"priorityClassName": "system-node-critical"}, "", 2000001000, "PreemptLowerPriority"),
        ({"priorityClassName": "high", "priority": 1000}, "", 1000, "Never"),
        ({"priorityClassName": "none"}, "no PriorityClass with name none was found", 0, ""),
        (
            {"priorityClassName": "high", "priority": 5},
            "the integer value of priority (5) must not be provided in pod spec; "
            "priority admission controller computed 1000 from the given PriorityClass name",
            0,
            "",
        ),
        (
            {"priorityClassName": "high", "preemptionPolicy": "PreemptLowerPriority"},
            "the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided in pod spec; "
            "priority admission controller computed Never from the given PriorityClass name",
            0,
            "",
        ),
    ],
)
def test_priority_of_pods(spec: Object, told: str, value: int, policy: str) -> None:
    obj = pod(**spec)
    assert attempt(priorities(named("high", value=1000, preemptionPolicy="Never")), "CREATE", PODS, obj) == told
    if not told:
        assert (obj["spec"]["priority"], obj["spec"]["preemptionPolicy"]) == (value, policy)


def test_the_default_class_and_the_only_one() -> None:
    plugin = priorities(named("usual", value=7, globalDefault=True))
    obj = pod()
    attempt(plugin, "CREATE", PODS, obj)
    assert (obj["spec"]["priority"], obj["spec"]["priorityClassName"]) == (7, "usual")
    told = attempt(plugin, "CREATE", PRIORITY_CLASSES, named("second", value=8, globalDefault=True))
    assert told == "PriorityClass usual is already marked as default. Only one default can exist"
    assert attempt(plugin, "UPDATE", PRIORITY_CLASSES, named("usual", value=7, globalDefault=True), named("usual")) == ""


def test_system_classes_stay() -> None:
    told = attempt(priorities(), "DELETE", PRIORITY_CLASSES, None, named("system-node-critical"))
    assert told == "this is a system priority class and cannot be deleted"
    assert attempt(priorities(), "DELETE", PRIORITY_CLASSES, None, named("mine")) == ""


# classes


def marked(name: str, created: str, prefix: str = "storageclass", value: str = "true", **fields: Any) -> Object:
    annotations = {f"{prefix}.kubernetes.io/is-default-class": value}
    return named(name, metadata={"creationTimestamp": created, "annotations": annotations}, **fields)


def test_the_default_storage_class() -> None:
    plugin = DefaultStorageClass(
        reader(
            (STORAGE_CLASSES, marked("old", "2025-01-01T00:00:00Z")),
            (STORAGE_CLASSES, marked("new-b", "2026-01-01T00:00:00Z")),
            (STORAGE_CLASSES, marked("new-a", "2026-01-01T00:00:00Z")),
            (STORAGE_CLASSES, marked("never", "2027-01-01T00:00:00Z", value="false")),
        )
    )
    for given, expected in ((None, "new-a"), ("", ""), ("mine", "mine")):
        claim = named("c", "a", spec={} if given is None else {"storageClassName": given})
        attempt(plugin, "CREATE", CLAIMS, claim)
        assert claim["spec"]["storageClassName"] == expected


def test_the_default_ingress_class() -> None:
    plugin = DefaultIngressClass(reader((INGRESS_CLASSES, marked("nginx", "2025-01-01T00:00:00Z", "ingressclass"))))
    ingresses = Resource("networking.k8s.io", "v1", "ingresses")
    plain, old = named("i", "a", spec={}), named("i", "a", spec={}, metadata={"annotations": {"kubernetes.io/ingress.class": "x"}})
    attempt(plugin, "CREATE", ingresses, plain)
    attempt(plugin, "CREATE", ingresses, old)
    assert plain["spec"] == {"ingressClassName": "nginx"} and old["spec"] == {}


def test_storage_in_use_is_protected() -> None:
    claim = named("c", "a", spec={})
    attempt(StorageObjectInUseProtection(), "CREATE", CLAIMS, claim)
    attempt(StorageObjectInUseProtection(), "CREATE", CLAIMS, claim)
    assert claim["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]


def test_claims_grow_only_where_they_can() -> None:
    plugin = PersistentVolumeClaimResize(
        reader((STORAGE_CLASSES, named("grows", allowVolumeExpansion=True)), (STORAGE_CLASSES, named("fixed")))
    )

    def claim(size: str, storage_class: str, phase: str = "Bound") -> Object:
        spec = {"storageClassName": storage_class, "resources": {"requests": {"storage": size}}}
        return named("c", "a", spec=spec, status={"phase": phase})

    refused = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
    assert attempt(plugin, "UPDATE", CLAIMS, claim("2Gi", "grows"), claim("1Gi", "grows")) == ""
    assert attempt(plugin, "UPDATE", CLAIMS, claim("2Gi", "fixed"), claim("1Gi", "fixed")) == refused
    assert attempt(plugin, "UPDATE", CLAIMS, claim("1Gi", "fixed"), claim("1024Mi", "fixed")) == ""
    pending = claim("1Gi", "grows", "Pending")
    assert attempt(plugin, "UPDATE", CLAIMS, claim("2Gi", "grows"), pending) == "Only bound persistent volume claims can be expanded"


RUNTIME = named(
    "rc",
    overhead={"podFixed": {"cpu": "250m"}},
    scheduling={"nodeSelector": {"sandbox": "yes"}, "tolerations": [{"key": "sandbox", "operator": "Exists"}]},
)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"runtimeClassName": "rc"}, ""),
        ({"runtimeClassName": "rc", "overhead": {"cpu": "0.25"}}, ""),
        ({"runtimeClassName": "none"}, 'pod rejected: RuntimeClass "none" not found'),
        (
            {"runtimeClassName": "rc", "nodeSelector": {"sandbox": "no"}},
            "conflict: runtimeClass.scheduling.nodeSelector[sandbox] = yes; pod.spec.nodeSelector[sandbox] = no",
        ),
        (
            {"runtimeClassName": "rc", "overhead": {"cpu": "1"}},
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        ),
        ({"overhead": {"cpu": "1"}}, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"),
    ],
)
def test_runtime_classes(spec: Object, told: str) -> None:
    obj = pod(**copy.deepcopy(spec))
    assert attempt(RuntimeClass(reader((RUNTIME_CLASSES, RUNTIME))), "CREATE", PODS, obj) == told
    if not told:
        assert obj["spec"]["nodeSelector"] == {"sandbox": "yes"} and obj["spec"]["tolerations"] == [
            {"key": "sandbox", "operator": "Exists"}
        ]
        assert obj["spec"]["overhead"] == {"cpu": "250m"}


def test_external_ips_are_denied_but_may_stay() -> None:
    def service(*ips: str) -> Object:
        return named("s", "a", spec={"externalIPs": list(ips)})

    plugin = DenyServiceExternalIPs()
    assert attempt(plugin, "CREATE", SERVICES, service("1.2.3.4")) == "Use of external IPs is denied by admission control"
    assert attempt(plugin, "UPDATE", SERVICES, service("1.2.3.4"), service("1.2.3.4", "5.6.7.8")) == ""
    assert attempt(plugin, "UPDATE", SERVICES, service("9.9.9.9"), service("1.2.3.4"), user=ADMIN) != ""


# limit ranges


def limits(*listed: Object) -> LimitRanger:
    return LimitRanger(reader((LIMIT_RANGES, named("lr", "a", spec={"limits": list(listed)}))))


def container(name: str = "c", requests: Object | None = None, limits: Object | None = None) -> Object:
    resources = {k: v for k, v in (("requests", requests), ("limits", limits)) if v}
    return {"name": name} | ({"resources": resources} if resources else {})


DEFAULTS = {"type": "Container", "default": {"cpu": "200m", "memory": "128Mi"}, "defaultRequest": {"cpu": "100m", "memory": "128Mi"}}


@pytest.mark.parametrize(
    ("spec", "note", "requests", "limits_"),
    [
        (
            {"containers": [container()]},
            "cpu, memory request for container c; cpu, memory limit for container c",
            {"cpu": "100m", "memory": "128Mi"},
            {"cpu": "200m", "memory": "128Mi"},
        ),
        (
            {"containers": [container(requests={"cpu": "1", "memory": "64Mi"}, limits={"cpu": "1"})]},
            "memory limit for container c",
            {"cpu": "1", "memory": "64Mi"},
            {"cpu": "1", "memory": "128Mi"},
        ),
        (
            {"containers": [container(requests={"cpu": "50m"})], "initContainers": [container("i")]},
            "memory request for container c; cpu, memory limit for container c; "
            "cpu, memory request for init container i; cpu, memory limit for init container i",
            {"cpu": "50m", "memory": "128Mi"},
            {"cpu": "200m", "memory": "128Mi"},
        ),
    ],
)
def test_limit_ranges_complete(spec: Object, note: str, requests: Object, limits_: Object) -> None:
    obj = pod(**copy.deepcopy(spec))
    assert attempt(limits(DEFAULTS), "CREATE", PODS, obj) == ""
    assert obj["metadata"]["annotations"] == {"kubernetes.io/limit-ranger": f"LimitRanger plugin set: {note}"}
    assert obj["spec"]["containers"][0]["resources"] == {"requests": requests, "limits": limits_}


STRICT = (
    {
        "type": "Container",
        "max": {"cpu": "1"},
        "min": {"cpu": "100m", "memory": "10Mi"},
        "default": {"cpu": "200m"},
        "defaultRequest": {"cpu": "200m", "memory": "10Mi"},
        "maxLimitRequestRatio": {"cpu": "2"},
    },
    {"type": "Pod", "max": {"cpu": "1500m"}},
)


@pytest.mark.parametrize(
    ("containers", "told"),
    [
        ([container()], ""),
        (
            [container(requests={"cpu": "2", "memory": "20Mi"}, limits={"cpu": "2", "memory": "20Mi"})],
            "[maximum cpu usage per Container is 1, but limit is 2, maximum cpu usage per Pod is 1500m, but limit is 2]",
        ),
        (
            [container(requests={"cpu": "50m", "memory": "20Mi"})],
            "[minimum cpu usage per Container is 100m, but request is 50m, "
            "cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000]",
        ),
        (
            [container(requests={"cpu": "200m", "memory": "20Mi"}, limits={"cpu": "900m"})],
            "cpu max limit to request ratio per Container is 2, but provided ratio is 4.500000",
        ),
        (
            [container(n, {"cpu": "1", "memory": "20Mi"}, {"cpu": "1", "memory": "20Mi"}) for n in "cd"],
            "maximum cpu usage per Pod is 1500m, but limit is 2",
        ),
    ],
)
def test_limit_ranges_refuse(containers: list[Object], told: str) -> None:
    assert attempt(limits(*STRICT), "CREATE", PODS, pod(containers=copy.deepcopy(containers))) == told


def test_limit_ranges_of_claims_and_of_other_namespaces() -> None:
    plugin = limits({"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}})

    def claim(size: str) -> Object:
        return named("c", "a", spec={"resources": {"requests": {"storage": size}}})

    assert attempt(plugin, "CREATE", CLAIMS, claim("1.5Gi")) == ""
    assert attempt(plugin, "CREATE", CLAIMS, claim("3Gi")) == "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"
    small = "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"
    assert attempt(plugin, "UPDATE", CLAIMS, claim("1Mi"), claim("2Gi")) == small
    assert attempt(limits(*STRICT), "CREATE", PODS, pod(namespace="b")) == ""
