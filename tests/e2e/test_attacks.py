"""Attacks on a real node and on those who use it (docs/security.md): a hostile pod, a neighbour, somebody without credentials."""
from __future__ import annotations

import base64
import http.client
import io
import json
import os
import ssl
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import images
from tests.e2e.cluster import Cluster, eventually

POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {{name: c, image: {image}, imagePullPolicy: Never, command: [sh, -c, "{command}"], {more}}}
{rest}"""


def run(cluster: Cluster, name: str, command: str = "sleep 100000", more: str = "", rest: str = "", ready: bool = True) -> None:
    cluster.kubectl("apply", "-f", "-", input=POD.format(name=name, image=images.SLEEP, command=command, more=more, rest=rest))
    if ready:
        cluster.wait("condition=Ready", f"pod/{name}")


# attack 24: what `kubectl cp` is sent


def hostile_archive() -> bytes:
    """Names that climb, absolute names, and links that lead out, each followed by a file beneath it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        def add(name: str, content: bytes = b"pwned", link: str = "", type: bytes = tarfile.REGTYPE) -> None:
            entry = tarfile.TarInfo(name)
            entry.size, entry.type, entry.linkname = (0, type, link) if link else (len(content), tarfile.REGTYPE, "")
            archive.addfile(entry, io.BytesIO(content if not link else b""))

        add("x/good", b"good")
        add("x/../../escaped")
        add("../../../../../../../../tmp/tiffin-escaped")
        add("/tmp/tiffin-escaped")
        add("x/out", link="../..", type=tarfile.SYMTYPE)
        add("x/out/escaped")
        add("x/tmp", link="/tmp", type=tarfile.SYMTYPE)
        add("x/tmp/tiffin-escaped")
        add("x/hard", link="/etc/hostname", type=tarfile.LNKTYPE)
    return buffer.getvalue()


def test_attack_24_a_hostile_tar_stays_in_the_target(cluster: Cluster, tmp_path: Path) -> None:
    """CVE-2018-1002100, CVE-2019-11249, CVE-2019-11251: kubectl is not ours, but it is what users of this cluster copy with."""
    script = "#!/bin/sh\ncat /hostile/archive\n"
    data = {"archive": base64.b64encode(hostile_archive()).decode(), "tar": base64.b64encode(script.encode()).decode()}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "hostile"}, "binaryData": data}
    cluster.kubectl("apply", "-f", "-", input=json.dumps(config_map))
    run(cluster, "copied", more="volumeMounts: [{name: h, mountPath: /hostile}, {name: h, mountPath: /usr/local/bin}], env: [{name: PATH, value: '/usr/local/bin:/bin:/usr/bin'}]",
        rest="  volumes: [{name: h, configMap: {name: hostile, defaultMode: 0755}}]\n")
    target = tmp_path / "deep" / "target"
    target.parent.mkdir()
    cluster.kubectl("cp", "copied:/x", str(target), check=False)
    assert (target / "good").read_text() == "good", "so the archive was unpacked"
    assert not Path("/tmp/tiffin-escaped").exists()
    assert {path.name for path in tmp_path.rglob("*") if not path.is_relative_to(target)} <= {"deep"}
    for path in target.rglob("*"):
        assert not path.is_symlink() and path.resolve().is_relative_to(target)


# attack 25: repositories with hooks, and the hosts file


def test_attack_25_a_repository_is_never_cloned(cluster: Cluster) -> None:
    """CVE-2024-10220: the volume type is not served, so nothing of a repository ever runs on the node."""
    run(cluster, "cloned", more="volumeMounts: [{name: g, mountPath: /g}]", ready=False,
        rest="  volumes: [{name: g, gitRepo: {repository: 'https://127.0.0.1:1/x', directory: x/.git}}]\n")
    eventually("the volume is refused", lambda: "no volume plugin matched name: gitRepo" in cluster.get("events", "-o", "jsonpath={.items[*].message}"))
    assert cluster.jsonpath("pod cloned", "{.status.phase}") == "Pending"
    cluster.kubectl("delete", "pod", "cloned", "--grace-period=0", "--force")


def test_attack_25_who_fills_the_hosts_file_is_evicted(cluster: Cluster) -> None:
    """CVE-2020-8557."""
    run(cluster, "filling", more="resources: {limits: {ephemeral-storage: 2Mi}}")
    cluster.kubectl("exec", "filling", "--", "dd", "if=/dev/zero", "of=/etc/hosts", "bs=1M", "count=8", check=False)
    eventually("the pod is evicted", lambda: cluster.jsonpath("pod filling", "{.status.reason}") == "Evicted")
    assert cluster.jsonpath("pod filling", "{.status.message}") == "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. "


# attack 19: the node's port


@pytest.mark.parametrize("path", ["/metrics", "/pods", "/healthz", "/stats/summary", "/configz", "/logs/", "/run/d/p/c", "/exec/d/p/c?command=id", "/debug/pprof/"])
def test_attack_19_strangers_get_nothing_of_a_node(session_cluster: Cluster, path: str) -> None:
    address = session_cluster.jsonpath("nodes", "{.items[0].status.addresses[0].address}")
    context = ssl._create_unverified_context()
    for method, headers in (("GET", {}), ("POST", {}), ("GET", {"Authorization": "Bearer made-up"}), ("GET", {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"})):
        connection = http.client.HTTPSConnection(address, 10250, context=context, timeout=10)
        connection.request(method, path, headers=headers)
        assert connection.getresponse().status == 401
        connection.close()


# attack 18: what lies about


def everything(directory: Path) -> Iterator[Path]:
    for root, _, files in os.walk(directory):
        yield from (Path(root, name) for name in files if not Path(root, name).is_symlink())


def test_attack_18_no_token_on_a_command_line_nor_in_a_log(session_cluster: Cluster) -> None:
    data = session_cluster.data_dir
    token = (data / "admin.token").read_text().strip()
    session_cluster.kubectl("create", "secret", "generic", "hidden", "--from-literal=key=hunter2hunter2")
    bound = session_cluster.kubectl("create", "token", "default").stdout.strip()
    session_cluster.kubectl("get", "pods", f"--token={bound}x", check=False)
    for secret in (token, "hunter2hunter2", base64.b64encode(b"hunter2hunter2").decode(), bound, bound.rpartition(".")[2]):
        assert not [path for path in everything(data / "logs") if secret.encode() in path.read_bytes()]
        for name in ("server", "node-1", "node-1-containerd"):
            process = Path(f"/proc/{session_cluster.pid(name)}")
            assert secret.encode() not in (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    session_cluster.kubectl("delete", "secret", "hidden")


def test_attack_18_what_holds_secrets_is_its_owners_only(session_cluster: Cluster) -> None:
    data = session_cluster.data_dir
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    private = [data / "admin.token", data / "logs", data / "pids", *data.glob("state.db*"), *(data / "pki").rglob("*.key"), *(data / "nodes").glob("*/kubelet"),
               session_cluster.directory / "kubeconfig"]  # fmt: skip
    assert len(private) > 8
    assert [path for path in private if path.stat().st_mode & 0o077] == []
