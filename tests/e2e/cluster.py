"""A cluster of a test's own, driven as a user drives it: through the tiffin command and the real kubectl."""
from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

TIFFIN = [sys.executable, "-m", "tiffin"]
#: kubectl of this release, from its package, and whichever the machine has besides.
KUBECTLS = [str(path) for path in (Path(sys.prefix) / "bin/kubectl", Path("/usr/bin/kubectl"), Path("/usr/local/bin/kubectl")) if path.exists()]

T = TypeVar("T")


class Failed(AssertionError):
    """A command ended with another exit code than 0."""


class Cluster:
    """One cluster, its kubeconfig and its data in `directory`."""

    def __init__(self, name: str, directory: Path, kubectl: str = "", namespace: str = "default") -> None:
        self.name, self.directory, self._kubectl, self.namespace = name, directory, kubectl or KUBECTLS[0], namespace
        self.data_dir = directory / "data"
        self.environment = {**os.environ, "KUBECONFIG": str(directory / "kubeconfig"), "HOME": str(directory)}

    def tiffin(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`tiffin ARGUMENTS --name NAME --data-dir DIR`."""
        return self._run([*TIFFIN, *arguments, "--name", self.name, "--data-dir", str(self.data_dir)], check=check)

    def up(self, *arguments: str) -> str:
        """Brings the cluster up on a free port and answers what was printed."""
        port = () if (self.data_dir / "cluster.json").exists() else ("--port", str(free_port()))
        return self.tiffin("up", *port, *arguments).stdout

    def kubectl(self, *arguments: str, check: bool = True, input: str | None = None) -> subprocess.CompletedProcess[str]:
        return self._run(self.kubectl_command(*arguments), check=check, input=input)

    def kubectl_command(self, *arguments: str) -> list[str]:
        """The command line, in the cluster object's namespace."""
        return [self._kubectl, "--namespace", self.namespace, *arguments]

    def get(self, *arguments: str) -> str:
        """What `kubectl get ARGUMENTS` prints, without the last newline; empty when it fails."""
        return self.kubectl("get", *arguments, check=False).stdout.rstrip("\n")

    def jsonpath(self, what: str, path: str) -> str:
        return self.get(*what.split(), "-o", f"jsonpath={path}")

    def wait(self, condition: str, *what: str, timeout: str = "60s") -> None:
        """`kubectl wait --for=CONDITION`."""
        self.kubectl("wait", f"--for={condition}", *what, f"--timeout={timeout}")

    def pid(self, daemon: str) -> int:
        """The pid of one of the cluster's processes, as its pid file says."""
        import orjson

        return int(orjson.loads((self.data_dir / "pids" / f"{daemon}.pid").read_bytes())["pid"])

    def through(self, kubectl: str, namespace: str) -> Cluster:
        """The same cluster through another kubectl, in another namespace."""
        return Cluster(self.name, self.directory, kubectl, namespace)

    def _run(self, command: Sequence[str], *, check: bool, input: str | None = None) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(command, env=self.environment, text=True, capture_output=True, input=input, check=False, timeout=180)
        if check and result.returncode:
            raise Failed(f"{' '.join(command)}\nexit code {result.returncode}\n{result.stdout}{result.stderr}")
        return result


@contextmanager
def running(name: str, directory: Path, *arguments: str) -> Iterator[Cluster]:
    """A cluster that is up inside the block, and gone after it without a trace."""
    cluster = Cluster(name, directory)
    try:
        cluster.up(*arguments)
        yield cluster
    finally:
        cluster.tiffin("down", "--purge", "--grace", "1s")


def eventually(what: str, condition: Callable[[], T], seconds: float = 60.0) -> T:
    """What `condition` answers as soon as it is true. For what kubectl cannot wait for; the pause is the commands' own running time."""
    end = time.monotonic() + seconds
    while True:
        if answer := condition():
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
