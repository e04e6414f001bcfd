"""A cluster of a benchmark's own: brought up by the tiffin command as a user would, measured from outside, and removed."""
from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson

from tiffin.client.http import HttpClient
from tiffin.net.httpclient import Origin, Pool
from tiffin.net.tlsclient import client_context

DIRECTORY = Path("/var/tmp")
"""On a disk, so that durable means what it says."""


class CommandFailed(Exception):
    """A tiffin command ended with another exit code than 0; the message is what it printed."""


class Cluster:
    """One running cluster."""

    def __init__(self, name: str, directory: Path, port: int) -> None:
        self.name, self.directory, self.port = name, directory, port
        self.data_dir = directory / "data"
        self.started = 0.0
        self.up_seconds = 0.0

    async def tiffin(self, *arguments: str) -> str:
        """`tiffin ARGUMENTS --name NAME --data-dir DIR`; gives what it printed."""
        command = [sys.executable, "-m", "tiffin", *arguments, "--name", self.name, "--data-dir", str(self.data_dir)]
        environment = {**os.environ, "KUBECONFIG": str(self.directory / "kubeconfig")}
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        output, _ = await process.communicate()
        if process.returncode:
            raise CommandFailed(output.decode())
        return output.decode()

    async def up(self, *options: str) -> None:
        self.started = time.perf_counter()
        await self.tiffin("up", "--port", str(self.port), *options)
        self.up_seconds = time.perf_counter() - self.started

    @property
    def token(self) -> str:
        return (self.data_dir / "admin.token").read_text().partition(",")[0].strip()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def tls(self) -> ssl.SSLContext:
        return client_context((self.data_dir / "pki/ca.crt").read_text())

    @asynccontextmanager
    async def client(self, connections: int = 32) -> AsyncIterator[HttpClient]:
        """An administrator's client with so many connections."""
        token = self.token
        client = HttpClient(Pool(Origin("127.0.0.1", self.port, self.tls()), limit=connections, idle=connections), token=lambda: token)
        try:
            yield client
        finally:
            client.close()

    def processes(self) -> dict[str, int]:
        """Process ids of tiffin's own processes, by name."""
        return {path.stem: int(orjson.loads(path.read_bytes())["pid"]) for path in sorted((self.data_dir / "pids").glob("*.pid"))}


@asynccontextmanager
async def cluster(name: str, *options: str) -> AsyncIterator[Cluster]:
    """A cluster that exists within `async with`, on a free port, with nothing left of it afterwards."""
    directory = Path(tempfile.mkdtemp(prefix=f"tiffin-bench-{name}-", dir=DIRECTORY))
    made = Cluster(f"bench-{name}", directory, free_port())
    try:
        await made.up(*options)
        yield made
    finally:
        await made.tiffin("down", "--purge")
        shutil.rmtree(directory)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
