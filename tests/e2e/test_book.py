"""The chapter "running containers in pods and deployments" of a Kubernetes book, command by command, on real containers."""
from __future__ import annotations

import functools
import http.server
import os
import pty
import select
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, eventually, free_port
from tests.e2e.images import HELLO, SLEEP

POD = "hello-kiamol"

_POD_FILE = f"""\
apiVersion: v1
kind: Pod
metadata:
  name: hello-kiamol-3
spec:
  containers:
    - name: web
      image: {HELLO}
"""

_DEPLOYMENT_FILE = f"""\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: hello-kiamol-4
spec:
  selector:
    matchLabels:
      app: hello-kiamol-4
  template:
    metadata:
      labels:
        app: hello-kiamol-4
    spec:
      containers:
        - name: web
          image: {HELLO}
    """


def run_pod(cluster: Cluster, name: str = POD, *options: str) -> None:
    cluster.kubectl("run", name, f"--image={HELLO}", *(options or ("--restart=Never",)))
    cluster.wait("condition=Ready", f"pod/{name}")


def deploy(cluster: Cluster, name: str = "hello-kiamol-4") -> None:
    cluster.kubectl("apply", "-f", "-", input=_DEPLOYMENT_FILE.replace("hello-kiamol-4", name))
    cluster.kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")


def pods_of(cluster: Cluster, app: str) -> set[str]:
    """Names of the pods with that app label that are not being deleted."""
    rows = cluster.get("pods", "-l", f"app={app}", "-o", 'jsonpath={range .items[*]}{.metadata.name},{.metadata.deletionTimestamp}{"\\n"}{end}')
    return {row.removesuffix(",") for row in rows.splitlines() if row.endswith(",")}


@contextmanager
def forwarded(cluster: Cluster, target: str, port: int = 80) -> Iterator[str]:
    """The URL of `kubectl port-forward TARGET`, once it listens."""
    local = free_port()
    command = cluster.kubectl_command("port-forward", target, f"{local}:{port}")
    process = subprocess.Popen(command, env=cluster.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith("Forwarding from 127.0.0.1"), line + process.stdout.read()
        yield f"http://127.0.0.1:{local}/"
    finally:
        process.terminate()
        process.wait(timeout=10)


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def test_run_a_pod_and_look_at_it(cluster: Cluster) -> None:
    run_pod(cluster)
    header, row = cluster.get("pods").splitlines()
    assert header.split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert row.split()[:4] == [POD, "1/1", "Running", "0"]
    wide = cluster.get("pods", "-o", "wide").splitlines()[1].split()
    assert wide[-3:] == ["node-1", "<none>", "<none>"]

    described = cluster.kubectl("describe", "pod", POD).stdout
    for words in ("Node:", "node-1/", "Status:           Running", HELLO, "Scheduled", "Pulled", "Created", "Started"):
        assert words in described

    columns = "custom-columns=NAME:metadata.name,NODE_IP:status.hostIP,POD_IP:status.podIP"
    header, row = cluster.get("pod", POD, "-o", columns).splitlines()
    assert header.split() == ["NAME", "NODE_IP", "POD_IP"]
    name, node_ip, pod_ip = row.split()
    assert name == POD and node_ip.startswith("10.") and pod_ip.startswith("10.")
    assert cluster.jsonpath(f"pod {POD}", "{.status.containerStatuses[0].containerID}").startswith("containerd://")


def test_a_container_that_ends_is_started_again(cluster: Cluster) -> None:
    run_pod(cluster, POD, "--restart=Always")
    cluster.kubectl("exec", POD, "--", "kill", "1", check=False)
    cluster.kubectl("exec", POD, "--", "pkill", "-9", "httpd", check=False)
    first = cluster.jsonpath(f"pod {POD}", "{.status.containerStatuses[0].containerID}")
    _kill_inside_runtime(cluster, first)
    eventually("a restart", lambda: cluster.jsonpath(f"pod {POD}", "{.status.containerStatuses[0].restartCount}") != "0")
    cluster.wait("condition=Ready", f"pod/{POD}")
    assert cluster.jsonpath(f"pod {POD}", "{.status.containerStatuses[0].containerID}") != first
    assert cluster.jsonpath(f"pod {POD}", "{.status.containerStatuses[0].lastState.terminated.exitCode}") == "137"


def _kill_inside_runtime(cluster: Cluster, container_id: str) -> None:
    """As the book does: the container is removed behind Kubernetes' back."""
    from tiffin.cluster.layout import Layout

    socket = Layout.find(cluster.name, cluster.data_dir).node(1).containerd_socket
    name = container_id.removeprefix("containerd://")
    subprocess.run(["ctr", "--address", str(socket), "--namespace", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", name], check=True)


@pytest.mark.parametrize("target", ["pod", "deploy", "svc"])
def test_port_forward(cluster: Cluster, target: str) -> None:
    deploy(cluster)
    if target == "svc":
        cluster.kubectl("expose", "deployment", "hello-kiamol-4", "--port=8000", "--target-port=80")
    name = next(iter(pods_of(cluster, "hello-kiamol-4"))) if target == "pod" else "hello-kiamol-4"
    with forwarded(cluster, f"{target}/{name}", 8000 if target == "svc" else 80) as url:
        assert "Hello from Chapter 2" in page(url)
        assert "Hello from Chapter 2" in page(url)


def test_a_deployment_adopts_and_releases_pods_by_their_labels(cluster: Cluster) -> None:
    cluster.kubectl("create", "deployment", "hello-kiamol-2", f"--image={HELLO}")
    cluster.kubectl("rollout", "status", "deployment/hello-kiamol-2", "--timeout=60s")
    assert cluster.jsonpath("deploy hello-kiamol-2", "{.spec.template.metadata.labels}") == '{"app":"hello-kiamol-2"}'
    [first] = eventually("one pod", lambda: (pods := pods_of(cluster, "hello-kiamol-2")) and len(pods) == 1 and pods)

    cluster.kubectl("label", "pods", "-l", "app=hello-kiamol-2", "--overwrite", "app=hello-kiamol-x")
    [second] = eventually("a new pod", lambda: pods_of(cluster, "hello-kiamol-2") - {first})
    assert pods_of(cluster, "hello-kiamol-x") == {first}
    eventually("the old one released", lambda: not cluster.jsonpath(f"pod {first}", "{.metadata.ownerReferences}"))

    cluster.kubectl("label", "pods", "-l", "app=hello-kiamol-x", "--overwrite", "app=hello-kiamol-2")
    [left] = eventually("one of the two gone", lambda: (pods := pods_of(cluster, "hello-kiamol-2")) and len(pods) == 1 and pods)
    assert left in (first, second)
    assert cluster.jsonpath(f"pod {left}", "{.metadata.ownerReferences[0].kind}") == "ReplicaSet"


def test_apply_files_and_urls(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "pod.yaml").write_text(_POD_FILE)
    (tmp_path / "deployment.yaml").write_text(_DEPLOYMENT_FILE)
    assert cluster.kubectl("apply", "-f", str(tmp_path / "pod.yaml")).stdout == "pod/hello-kiamol-3 created\n"
    assert cluster.kubectl("apply", "-f", str(tmp_path / "pod.yaml")).stdout == "pod/hello-kiamol-3 unchanged\n"
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert cluster.kubectl("apply", "-f", f"{url}/pod.yaml").stdout == "pod/hello-kiamol-3 unchanged\n"
        assert cluster.kubectl("apply", "-f", f"{url}/deployment.yaml").stdout == "deployment.apps/hello-kiamol-4 created\n"
        server.shutdown()
    cluster.wait("condition=Ready", "pod/hello-kiamol-3")
    cluster.kubectl("rollout", "status", "deployment/hello-kiamol-4", "--timeout=60s")
    listed = cluster.get("all")
    for words in ("pod/hello-kiamol-3", "deployment.apps/hello-kiamol-4", "replicaset.apps/hello-kiamol-4-"):
        assert words in listed


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing: pytest shows what matters."""


def test_exec(cluster: Cluster) -> None:
    deploy(cluster)
    fetch = ("sh", "-c", "wget -O - http://localhost > /dev/null")
    cluster.kubectl("exec", "deploy/hello-kiamol-4", "--", *fetch)
    assert cluster.kubectl("exec", "-i", "deploy/hello-kiamol-4", "--", "cat", input="over\nthere\n").stdout == "over\nthere\n"
    failed = cluster.kubectl("exec", "deploy/hello-kiamol-4", "--", "sh", "-c", "echo out; echo err >&2; exit 42", check=False)
    assert (failed.returncode, failed.stdout) == (42, "out\n") and failed.stderr.startswith("err\n")
    missing = cluster.kubectl("exec", "deploy/hello-kiamol-4", "--", "no-such-program", check=False)
    assert missing.returncode != 0 and "no-such-program" in missing.stderr
    logs = cluster.kubectl("logs", "--tail=1", "-l", "app=hello-kiamol-4").stdout
    assert "GET /" in logs or "response:200" in logs


def test_a_real_terminal(cluster: Cluster) -> None:
    """Size, interrupt and exit code travel through `kubectl exec -it`."""
    run_pod(cluster)
    with Terminal(cluster.kubectl_command("exec", "-it", POD, "--", "sh"), cluster.environment, rows=33, columns=101) as terminal:
        terminal.expect("# ")
        terminal.send("stty size; echo do''ne\n")
        assert "33 101" in terminal.expect("done")
        terminal.send("sh -c \"echo be$((1))gun; exec sleep 1000\"\n")
        terminal.expect("be1gun")
        terminal.send("\x03")
        terminal.expect("# ")
        terminal.resize(40, 120)
        terminal.send("until [ \"$(stty size)\" = '40 120' ]; do :; done; echo re''sized\n")
        terminal.expect("resized")
        terminal.send("exit 7\n")
        assert terminal.wait() == 7


class Terminal:
    """A program on a pseudo-terminal."""

    def __init__(self, command: list[str], environment: dict[str, str], rows: int, columns: int) -> None:
        self._master, slave = pty.openpty()
        self.resize(rows, columns)
        self._process = subprocess.Popen(command, env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=_take_terminal)
        os.close(slave)
        self._seen = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def resize(self, rows: int, columns: int) -> None:
        import fcntl
        import struct
        import termios

        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, text: str) -> None:
        os.write(self._master, text.encode())

    def expect(self, words: str, seconds: float = 20) -> str:
        """What was shown up to and with the words."""
        while words not in self._seen:
            readable, _, _ = select.select([self._master], [], [], seconds)
            assert readable, f"{words!r} did not come after {self._seen!r}"
            self._seen += os.read(self._master, 4096).decode(errors="replace")
        shown, self._seen = self._seen.split(words, 1)
        return shown + words

    def wait(self) -> int:
        return self._process.wait(timeout=20)


def _take_terminal() -> None:
    """Makes the terminal the new session's own, so that its size changes are signalled."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_logs(cluster: Cluster) -> None:
    script = "for n in 1 2 3; do echo line $n; done; echo error >&2; exec sleep 1000"
    cluster.kubectl("run", "talk", f"--image={SLEEP}", "--command", "--", "sh", "-c", script)
    cluster.wait("condition=Ready", "pod/talk")
    eventually("all four lines", lambda: cluster.kubectl("logs", "talk").stdout.count("\n") == 4)
    assert cluster.kubectl("logs", "talk", "-c", "talk", "--tail=2").stdout.count("\n") == 2
    stamped = cluster.kubectl("logs", "talk", "--timestamps").stdout.splitlines()
    assert any(line.startswith("20") and line.endswith("Z line 1") for line in stamped)
    assert "line 1\n" in cluster.kubectl("logs", "talk", "--since=1h").stdout
    assert len(cluster.kubectl("logs", "talk", "--limit-bytes=6").stdout) == 6
    missing = cluster.kubectl("logs", "talk", "-c", "nobody", check=False)
    assert missing.returncode == 1 and "container nobody is not valid for pod talk" in missing.stderr


def test_logs_follow_and_previous(cluster: Cluster) -> None:
    script = "echo first; until [ -e /tmp/go ]; do sleep 0.1; done; echo last"
    cluster.kubectl("run", "talk", f"--image={SLEEP}", "--command", "--", "sh", "-c", script)
    cluster.wait("condition=Ready", "pod/talk")
    command = cluster.kubectl_command("logs", "-f", "talk")
    with subprocess.Popen(command, env=cluster.environment, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout
        assert follower.stdout.readline() == "first\n"
        cluster.kubectl("exec", "talk", "--", "touch", "/tmp/go")
        assert follower.stdout.readline() == "last\n"
        assert follower.wait(timeout=30) == 0
    eventually("the second run", lambda: cluster.jsonpath("pod talk", "{.status.containerStatuses[0].restartCount}") != "0")
    assert cluster.kubectl("logs", "talk", "--previous").stdout == "first\nlast\n"


def test_attach(cluster: Cluster) -> None:
    cluster.kubectl("run", "echoer", f"--image={SLEEP}", "--stdin", "--attach=false", "--command", "--", "sh", "-c", "read x; echo got $x; sleep 1000")
    cluster.wait("condition=Ready", "pod/echoer")
    command = cluster.kubectl_command("attach", "-i", "echoer")
    with subprocess.Popen(command, env=cluster.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as attached:
        assert attached.stdin and attached.stdout
        attached.stdin.write("it\n")
        attached.stdin.flush()
        assert attached.stdout.readline() == "got it\n"
        attached.kill()


def test_cp_there_and_back(cluster: Cluster, tmp_path: Path) -> None:
    run_pod(cluster)
    copy = tmp_path / "index.html"
    cluster.kubectl("cp", f"{POD}:/usr/share/nginx/html/index.html", str(copy))
    assert "Hello from Chapter 2" in copy.read_text()
    copy.write_text("<p>changed</p>\n")
    cluster.kubectl("cp", str(copy), f"{POD}:/usr/share/nginx/html/index.html")
    with forwarded(cluster, f"pod/{POD}") as url:
        assert page(url) == "<p>changed</p>\n"


def test_rollouts(cluster: Cluster) -> None:
    deploy(cluster)
    name = "deployment/hello-kiamol-4"
    cluster.kubectl("scale", name, "--replicas=3")
    cluster.kubectl("rollout", "status", name, "--timeout=60s")
    assert len(pods_of(cluster, "hello-kiamol-4")) == 3
    cluster.kubectl("set", "image", name, f"web={SLEEP}")
    cluster.kubectl("rollout", "status", name, "--timeout=90s")
    assert cluster.jsonpath(name, "{.spec.template.spec.containers[0].image}") == SLEEP
    assert [line.split()[0] for line in cluster.kubectl("rollout", "history", name).stdout.splitlines()[2:] if line] == ["1", "2"]
    cluster.kubectl("rollout", "undo", name)
    cluster.kubectl("rollout", "status", name, "--timeout=90s")
    assert cluster.jsonpath(name, "{.spec.template.spec.containers[0].image}") == HELLO
    cluster.kubectl("rollout", "restart", name)
    cluster.kubectl("rollout", "status", name, "--timeout=90s")
    assert len(cluster.get("replicasets", "-o", "name").splitlines()) == 3


def test_changing_objects(cluster: Cluster, tmp_path: Path) -> None:
    deploy(cluster)
    name = "deployment/hello-kiamol-4"
    cluster.kubectl("annotate", name, "why=test")
    cluster.kubectl("patch", name, "--type=json", '--patch=[{"op":"add","path":"/metadata/labels","value":{"a":"1"}}]')
    cluster.kubectl("patch", name, "--type=merge", '--patch={"metadata":{"labels":{"b":"2"}}}')
    assert cluster.jsonpath(name, "{.metadata.labels}") == '{"a":"1","b":"2"}'
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/why: test/why: edited/' \"$1\"\n")
    editor.chmod(0o755)
    cluster.environment["EDITOR"] = str(editor)
    cluster.kubectl("edit", name)
    assert cluster.jsonpath(name, "{.metadata.annotations.why}") == "edited"
    whole = tmp_path / "whole.json"
    whole.write_text(cluster.get(name, "-o", "json").replace('"b": "2"', '"b": "3"'))
    cluster.kubectl("replace", "-f", str(whole))
    assert cluster.jsonpath(name, "{.metadata.labels.b}") == "3"
    yaml = cluster.get(name, "-o", "yaml")
    assert yaml.startswith("apiVersion: apps/v1\nkind: Deployment\n")
    assert "no" in cluster.kubectl("auth", "can-i", "delete", "pods", "--as=somebody", check=False).stdout
    assert cluster.kubectl("auth", "can-i", "delete", "pods").stdout == "yes\n"
    assert "FIELDS:" in cluster.kubectl("explain", "deployment.spec").stdout
    assert "deployments" in cluster.kubectl("api-resources").stdout


def test_watching(cluster: Cluster) -> None:
    command = cluster.kubectl_command("get", "pods", "-w", "--no-headers")
    with subprocess.Popen(command, env=cluster.environment, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout
        run_pod(cluster)
        seen = []
        while not seen or "Running" not in seen[-1]:
            seen.append(watching.stdout.readline())
        assert all(line.startswith(POD) for line in seen)
        watching.kill()


def test_deleting(cluster: Cluster) -> None:
    run_pod(cluster)
    deploy(cluster)
    cluster.kubectl("delete", "pods", "--all", "--grace-period=1")
    again = eventually("the deployment's new pod", lambda: pods_of(cluster, "hello-kiamol-4"))
    assert f"pod/{POD}" not in cluster.get("pods", "-o", "name").splitlines() and len(again) == 1
    cluster.kubectl("delete", "deploy", "--all")
    eventually("its pods are gone, too", lambda: not cluster.get("pods", "-o", "name"))
    reasons = cluster.get("events", "-o", "jsonpath={.items[*].reason}").split()
    assert {"Scheduled", "Pulled", "Created", "Started", "Killing", "SuccessfulCreate", "ScalingReplicaSet"} <= set(reasons)


def test_two_containers_share_localhost_and_pods_reach_one_another(cluster: Cluster) -> None:
    pair = _POD_FILE + f"    - name: side\n      image: {SLEEP}\n"
    cluster.kubectl("apply", "-f", "-", input=pair)
    run_pod(cluster)
    cluster.wait("condition=Ready", "pod/hello-kiamol-3")
    fetch = ("wget", "-q", "-O", "-")
    assert "Hello" in cluster.kubectl("exec", "hello-kiamol-3", "-c", "side", "--", *fetch, "http://localhost").stdout
    address = cluster.jsonpath(f"pod {POD}", "{.status.podIP}")
    assert "Hello" in cluster.kubectl("exec", "hello-kiamol-3", "-c", "side", "--", *fetch, f"http://{address}").stdout


def test_a_container_that_crashes(cluster: Cluster) -> None:
    cluster.kubectl("run", "crash", f"--image={SLEEP}", "--command", "--", "sh", "-c", "exit 3")
    eventually("back-off", lambda: "CrashLoopBackOff" in cluster.get("pods"))
    status = "{.status.containerStatuses[0]"
    assert cluster.jsonpath("pod crash", status + ".lastState.terminated.exitCode}") == "3"
    assert cluster.jsonpath("pod crash", status + ".lastState.terminated.reason}") == "Error"
    assert cluster.jsonpath("pod crash", status + ".state.waiting.message}").startswith("back-off 10s restarting failed container=crash pod=crash_")
    assert "BackOff" in cluster.get("events", "-o", "jsonpath={.items[*].reason}").split()


def test_an_image_that_does_not_exist(cluster: Cluster) -> None:
    cluster.kubectl("run", "none", "--image=localhost:1/no/such:image")
    eventually("the error", lambda: "ErrImagePull" in cluster.get("pods"))
    eventually("the back-off", lambda: "ImagePullBackOff" in cluster.get("pods"))
    messages = cluster.get("events", "-o", "jsonpath={.items[*].message}")
    assert 'Failed to pull image "localhost:1/no/such:image"' in messages and "connection refused" in messages
