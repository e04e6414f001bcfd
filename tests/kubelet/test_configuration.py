"""What a pod becomes for the runtime: resources, security, names, resolvers, configurations."""
from __future__ import annotations

from typing import Any

import pytest

from tests.kubelet.builders import container, pod
from tiffin.kubelet import dns, resources, security
from tiffin.kubelet.container_config import Mounted, NodeSettings, container_config, sandbox_config
from tiffin.kubelet.env import ConfigError
from tiffin.kubelet.proto import cri_pb2 as cri

HOST = dns.Resolver(("192.0.2.53",), ("lan",), ("timeout:2",))
SETTINGS = NodeSettings("cluster.local", ("10.96.0.10",), HOST, "/tiffin/n1", False, "/var/seccomp", 16 * 2**30, False)


def sized(cpu: str | None = None, memory: str | None = None, cpu_limit: str | None = None, memory_limit: str | None = None, **more: Any) -> Any:
    requests = {k: v for k, v in (("cpu", cpu), ("memory", memory)) if v}
    limits = {k: v for k, v in (("cpu", cpu_limit), ("memory", memory_limit)) if v}
    return container(resources={k: v for k, v in (("requests", requests), ("limits", limits)) if v}, **more)


@pytest.mark.parametrize(("one", "qos", "score", "shares", "quota", "memory"), [
    (container(), "BestEffort", 1000, 2, 0, 0),
    (sized("500m"), "Burstable", 999, 512, 0, 0),
    (sized("1", "8Gi"), "Burstable", 500, 1024, 0, 0),
    (sized(cpu_limit="200m", memory_limit="1Gi"), "Guaranteed", -997, 204, 20000, 2**30),
    (sized("200m", "1Gi", "200m", "1Gi"), "Guaranteed", -997, 204, 20000, 2**30),
    (sized("100m", "1Gi", "200m", "1Gi"), "Burstable", 938, 102, 20000, 2**30),
    (sized(cpu_limit="1m"), "Burstable", 999, 2, 1000, 0),
])
def test_resources(one: Any, qos: str, score: int, shares: int, quota: int, memory: int) -> None:
    found = resources.linux_resources(pod(one), one, 16 * 2**30, False)
    assert resources.qos_class(pod(one)) == qos
    assert (found.oom_score_adj, found.cpu_shares, found.cpu_quota, found.memory_limit_in_bytes) == (score, shares, quota, memory)


def test_cgroups_by_class() -> None:
    assert resources.cgroup_parent("/tiffin/n1", pod()) == "/tiffin/n1/besteffort/podu1"
    assert resources.cgroup_parent("/tiffin/n1", pod(sized("1"))) == "/tiffin/n1/burstable/podu1"
    assert resources.cgroup_parent("/tiffin/n1", pod(sized("1", "1Gi", "1", "1Gi"))) == "/tiffin/n1/podu1"


def test_a_sidecar_outlives_what_it_serves() -> None:
    side = sized("1", "1Mi", name="side", restartPolicy="Always") | {"name": "side"}
    assert resources.oom_score(pod(sized("1", "8Gi"), init=[side]), side, 16 * 2**30) == 500


NON_ROOT = container(securityContext={"runAsNonRoot": True})
WHERE = '(pod: "p_default(u1)", container: main)'


@pytest.mark.parametrize(("one", "image", "words"), [
    (NON_ROOT, cri.Image(id="i", uid=cri.Int64Value(value=0)), f"container has runAsNonRoot and image will run as root {WHERE}"),
    (NON_ROOT, cri.Image(id="i"), f"container has runAsNonRoot and image will run as root {WHERE}"),
    (NON_ROOT, None, f"container has runAsNonRoot and image will run as root {WHERE}"),
    (NON_ROOT, cri.Image(id="i", username="web"), f"container has runAsNonRoot and image has non-numeric user (web), cannot verify user is non-root {WHERE}"),
    (container(securityContext={"runAsNonRoot": True, "runAsUser": 0}), None, f"container's runAsUser breaks non-root policy {WHERE}"),
    (NON_ROOT, cri.Image(id="i", uid=cri.Int64Value(value=7)), ""),
    (container(securityContext={"runAsNonRoot": True, "runAsUser": 5}), None, ""),
    (container(), cri.Image(id="i", uid=cri.Int64Value(value=0)), ""),
])
def test_who_promises_not_to_be_root_is_not(one: Any, image: cri.Image | None, words: str) -> None:
    """CVE-2019-11245: looked at on every start, and what is not known counts as root."""
    if not words:
        security.check_non_root(pod(one), one, image)
        return
    with pytest.raises(ConfigError) as caught:
        security.check_non_root(pod(one), one, image)
    assert str(caught.value) == words


def secured(one: Any, **context: Any) -> cri.LinuxContainerSecurityContext:
    return security.of_container(pod(one, securityContext=context), one, seccomp_default=False, seccomp_root="/var/seccomp")


def test_the_container_wins_over_the_pod() -> None:
    found = secured(container(securityContext={"runAsUser": 5}), runAsUser=1, runAsGroup=2, fsGroup=9, supplementalGroups=[8], seccompProfile={"type": "RuntimeDefault"})
    assert (found.run_as_user.value, found.run_as_group.value, list(found.supplemental_groups)) == (5, 2, [8, 9])
    assert found.seccomp.profile_type == cri.SecurityProfile.RuntimeDefault
    assert not found.no_new_privs and "/proc/kcore" in found.masked_paths


def test_privileges() -> None:
    found = secured(container(securityContext={"privileged": True}))
    assert found.privileged and not found.masked_paths and not found.readonly_paths
    bound = secured(container(securityContext={"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}}))
    assert bound.no_new_privs and bound.readonly_rootfs
    assert (list(bound.capabilities.add_capabilities), list(bound.capabilities.drop_capabilities)) == (["NET_ADMIN"], ["ALL"])


@pytest.mark.parametrize("profile", [{"type": "Localhost"}, {"type": "Localhost", "localhostProfile": "../../etc/passwd"}, {"type": "runtimeDefault"}])
def test_a_profile_that_cannot_be_is_refused(profile: Any) -> None:
    """CVE-2023-2431: an empty local profile does not mean unconfined."""
    with pytest.raises(ConfigError):
        secured(container(securityContext={"seccompProfile": profile}))


@pytest.mark.parametrize(("spec", "network", "pid", "ipc"), [
    ({}, cri.POD, cri.CONTAINER, cri.POD), ({"shareProcessNamespace": True}, cri.POD, cri.POD, cri.POD),
    ({"hostNetwork": True, "hostPID": True, "hostIPC": True}, cri.NODE, cri.NODE, cri.NODE),
])
def test_namespaces(spec: Any, network: int, pid: int, ipc: int) -> None:
    found = security.namespaces(pod(**spec))
    assert (found.network, found.pid, found.ipc) == (network, pid, ipc)
    assert security.namespaces(pod(), "c1").pid == cri.TARGET


@pytest.mark.parametrize(("spec", "servers", "searches", "options"), [
    ({}, ["10.96.0.10"], ["default.svc.cluster.local", "svc.cluster.local", "cluster.local", "lan"], ["ndots:5"]),
    ({"dnsPolicy": "Default"}, ["192.0.2.53"], ["lan"], ["timeout:2"]),
    ({"hostNetwork": True}, ["192.0.2.53"], ["lan"], ["timeout:2"]),
    ({"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}, ["10.96.0.10"], ["default.svc.cluster.local", "svc.cluster.local", "cluster.local", "lan"], ["ndots:5"]),
    ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["x"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}}, ["1.1.1.1"], ["x"], ["ndots:2", "edns0"]),
    ({"dnsConfig": {"options": [{"name": "ndots", "value": "1"}]}}, ["10.96.0.10"], ["default.svc.cluster.local", "svc.cluster.local", "cluster.local", "lan"], ["ndots:1"]),
])
def test_resolvers(spec: Any, servers: list[str], searches: list[str], options: list[str]) -> None:
    found = dns.resolver(pod(**spec), HOST, ("10.96.0.10",), "cluster.local")
    assert (list(found.servers), list(found.searches), list(found.options)) == (servers, searches, options)


def test_resolv_conf_and_hosts() -> None:
    assert dns.parse_resolv_conf("# c\nnameserver 1.1.1.1\nsearch a. b\nsearch c\noptions ndots:2 rotate\n") == dns.Resolver(("1.1.1.1",), ("c",), ("ndots:2", "rotate"))
    text = dns.hosts_file(pod(hostname="web", subdomain="sub", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["x", "y"]}]), ["10.0.0.5"], "cluster.local")
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "10.0.0.5\tweb.sub.default.svc.cluster.local\tweb\n" in text
    assert text.endswith("\n# Entries added by HostAliases.\n1.2.3.4\tx\ty\n")
    assert dns.hosts_file(pod(hostNetwork=True), [], "d", "127.0.0.1 localhost\n") == "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n"


@pytest.mark.parametrize(("spec", "name"), [({}, "p"), ({"hostname": "web"}, "web"), ({"hostname": "web", "subdomain": "s", "setHostnameAsFQDN": True}, "web.s.default.svc.cluster.local")])
def test_hostnames(spec: Any, name: str) -> None:
    assert sandbox_config(pod(**spec), 0, SETTINGS, "/logs").hostname == name


def test_a_sandbox() -> None:
    wish = pod(container(ports=[{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81}]), meta={"labels": {"app": "x"}}, securityContext={"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]})
    found = sandbox_config(wish, 2, SETTINGS, "/logs")
    assert found.log_directory == "/logs/default_p_u1" and found.metadata.attempt == 2
    assert found.labels["app"] == "x" and found.labels["io.kubernetes.pod.uid"] == "u1"
    assert [(m.container_port, m.host_port) for m in found.port_mappings] == [(80, 8080)]
    assert found.linux.cgroup_parent == "/tiffin/n1/besteffort/podu1" and found.linux.sysctls == {"kernel.shm_rmid_forced": "1"}
    host = sandbox_config(pod(hostNetwork=True), 0, SETTINGS, "/logs")
    assert host.hostname == "" and host.annotations["tiffin.dev/host-network"] == "true"


def test_a_container() -> None:
    one = container(command=["run", "$(A)"], args=["$(B)", "$$(A)"], workingDir="/w", tty=True, stdin=True)
    found = container_config(
        pod(one, terminationGracePeriodSeconds=7), one, 3, image="sha256:1", image_info=None, environment={"A": "1"}, mounts=[Mounted("/c", "/h", True, "HostToContainer")],
        termination_file="/t", settings=SETTINGS,
    )
    assert (list(found.command), list(found.args), found.log_path) == (["run", "1"], ["$(B)", "$(A)"], "main/3.log")
    assert found.mounts[0].readonly and found.mounts[0].propagation == cri.PROPAGATION_HOST_TO_CONTAINER
    assert found.annotations["io.kubernetes.container.restartCount"] == "3" and found.annotations["io.kubernetes.pod.terminationGracePeriod"] == "7"
    assert found.tty and found.stdin and found.image.image == "sha256:1"
