"""Replays recorded answers of the reference against a fresh `tiffin up --nodes 0 --simulated 2` and holds each suite to its floor.

    python scripts/replay_floors.py ORACLE [SUITE...]

ORACLE is the directory that holds `replay.py` and `recorded/`. Prints one line for each suite; exit code 1 when one is below its floor,
2 when the cluster does not come up. Suites without a floor are replayed only when they are named.
"""
from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

#: The least share of cases that must pass, in percent. A floor only ever rises. What is below 100: the recording's discovery shows a group that another
#: case left behind (m-discovery), prose that is not ours to copy (c-crd), and controllers' timing on a machine that is busy (c-core, c-workloads).
#: m-list comes last: in YAML, replay.py knows a resource version again only when it has four digits, which a fresh cluster has not reached.
FLOORS = {
    "m-crud": 100, "m-watch": 100, "m-watchlist": 100, "m-patch": 100, "m-apply": 100, "m-auth": 100, "m-fieldvalidation": 100, "m-discovery": 95,
    "k-defaults-misc": 100, "k-defaults-network": 100, "k-defaults-pods": 100, "k-defaults-policy": 100, "k-defaults-storage": 100, "k-defaults-workloads": 100,
    "k-invalid-pods": 100, "k-invalid-services": 100, "k-invalid-workloads": 100, "k-invalid-others": 97, "k-invalid-crd": 100, "k-subresources": 100, "k-tables": 100,
    "c-crd": 95, "c-policy": 100, "c-core": 95, "c-workloads": 95, "m-list": 100}

_CLOSING = re.compile(r"(\d+) passed, (\d+) failed")


def main(arguments: list[str]) -> int:
    oracle, suites = Path(arguments[0]).resolve(), arguments[1:] or list(FLOORS)
    with tempfile.TemporaryDirectory(prefix="tiffin-replay-") as directory:
        tiffin = Tiffin(Path(directory))
        if tiffin.run("up", "--nodes", "0", "--simulated", "2", "--port", str(free_port())).returncode:
            return 2
        try:
            met = [replay(tiffin, oracle, suite) for suite in suites]
        finally:
            tiffin.run("down", "--purge")
    return 0 if all(met) else 1


class Tiffin:
    """A cluster of its own, in a directory of its own, that touches nobody's kubeconfig."""

    def __init__(self, directory: Path) -> None:
        self._cluster = ["--name", f"replay-{os.getpid()}", "--data-dir", str(directory / "data")]
        self._environment = {**os.environ, "KUBECONFIG": str(directory / "kubeconfig"), "HOME": str(directory)}

    def run(self, *command: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-m", "tiffin", *command, *self._cluster]
        return subprocess.run(arguments, env=self._environment, text=True, stdout=subprocess.PIPE if capture else None, check=False)

    @property
    def server(self) -> str:
        config = self.run("kubeconfig", capture=True).stdout
        return next(line.split()[1] for line in config.splitlines() if line.strip().startswith("server:"))

    @property
    def token(self) -> str:
        return self.run("token", capture=True).stdout.strip()


def replay(tiffin: Tiffin, oracle: Path, suite: str) -> bool:
    """Whether the suite meets its floor; prints how it did."""
    command = [sys.executable, str(oracle / "replay.py"), "--server", tiffin.server, "--token", tiffin.token, f"{suite}.json"]
    output = subprocess.run(command, text=True, capture_output=True, check=False).stdout
    closing = _CLOSING.findall(output)
    passed, failed = map(int, closing[-1]) if closing else (0, 1)
    share, floor = 100 * passed / max(1, passed + failed), FLOORS.get(suite, 0)
    print(f"{suite}: {passed} passed, {failed} failed: {share:.1f} % (floor {floor} %){'' if share >= floor else '  BELOW'}", flush=True)
    return share >= floor


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
