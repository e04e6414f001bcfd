"""Answers of a node's name server to dnsperf in a pod's network namespace: 1,000 services, asked for as libraries ask, with their search lists."""
from __future__ import annotations

import asyncio
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

from bench.cluster import Cluster, cluster
from bench.figures import Figure, Goal, percentile
from bench.load import in_parallel
from bench.pods import PATH, image_pod, running
from bench.processes import cpu_seconds, memory

SERVICES, QUESTIONS = 1000, 20_000
RATE, SECONDS = 15_000, 4
ADDRESS = "10.96.0.10"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


class Unsound(Exception):
    """dnsperf is not there, or questions were lost."""


async def measure() -> list[Figure]:
    if os.geteuid() != 0:
        return []
    if not shutil.which("dnsperf"):
        raise Unsound("dnsperf is not installed: apt-get install dnsperf")
    async with cluster("dns", "--nodes", "1") as made:
        pod = await prepare(made)
        agent = made.processes()["node-1"]
        with tempfile.TemporaryDirectory() as directory:
            questions = Path(directory, "questions")
            questions.write_text(mixed())
            before = cpu_seconds(agent)
            fastest = await perf(pod, questions)
            cpu = cpu_seconds(agent) - before
            latencies = min([await steady(pod, questions) for _ in range(3)], key=lambda found: percentile(found, 0.99))
        _, rss = memory(agent)
    rate = number(fastest, "Queries per second:")
    return [
        Figure("DNS, answers from the cluster zone", rate, "/s", Goal("-", 15_000), f"dnsperf in a pod; {cpu / (rate * SECONDS) * 1e6:.0f} µs of the agent's CPU each"),
        Figure("DNS, latency at 15,000/s, p50", percentile(latencies, 0.5), "ms", note="the best of three runs"),
        Figure("DNS, latency at 15,000/s, p99", percentile(latencies, 0.99), "ms", Goal("-", 5, False)),
        Figure("node agent after that load (RSS)", rss, "MB", Goal("-", 100, False), f"{SERVICES} services"),
    ]


async def prepare(made: Cluster) -> str:
    """Services, and one pod; gives the network namespace of the pod."""
    async with made.client() as client:
        pod = (await client.call("POST", PATH, image_pod("asker")))["metadata"]["uid"]
        await asyncio.wait_for(running(client, {"asker"}), 60)

        async def create(n: int) -> None:
            spec = {"ports": [{"name": "http", "port": 80}], "selector": {"app": f"s{n}"}}
            await client.call("POST", "/api/v1/namespaces/default/services", {"metadata": {"name": f"s{n}"}, "spec": spec})

        await in_parallel(SERVICES, create)
        while len((await client.call("GET", SLICES))["items"]) < SERVICES:
            await asyncio.sleep(0.2)
    return f"/proc/{process_of(pod)}/ns/net"


def process_of(pod: str) -> str:
    """A process of the pod with this UID."""
    for path in Path("/proc").glob("[0-9]*/cgroup"):
        if f"pod{pod}" in path.read_text():
            return path.parent.name
    raise Unsound(f"pod {pod} has no process")


def mixed() -> str:
    """Names as pods ask for them: in their own namespace at once, in others and outside by way of the search list, ports, what is not there."""
    chosen = random.Random(1)
    lines = []
    while len(lines) < QUESTIONS:
        name = f"s{chosen.randrange(SERVICES)}"
        own = f"{name}.default.svc.cluster.local"
        lines += [f"{own} A", f"{own} AAAA"]
        if not len(lines) % 5:
            lines += [f"{name}.default.{rest} {type}" for rest in ("default.svc.cluster.local", "svc.cluster.local") for type in ("A", "AAAA")]
            lines += [f"_http._tcp.{own} SRV", f"host{chosen.randrange(10**6)}.example.com.default.svc.cluster.local A"]
    return "\n".join(lines) + "\n"


async def steady(namespace: str, questions: Path) -> list[float]:
    """Milliseconds that each answer took at `RATE` questions a second. dnsperf needs a core of its own for this to say anything."""
    printed = await perf(namespace, questions, "-Q", str(RATE), "-v")
    if number(printed, "Queries per second:") < RATE * 0.97:
        print(f"dns: only {number(printed, 'Queries per second:'):.0f} questions a second were asked: the machine is busy", file=sys.stderr)
    return [float(line.split()[-1]) * 1000 for line in printed.splitlines() if line.startswith("> ")]


async def perf(namespace: str, questions: Path, *options: str) -> str:
    """What dnsperf printed, run in that network namespace."""
    command = ["nsenter", f"--net={namespace}", "dnsperf", "-s", ADDRESS, "-d", str(questions), "-l", str(SECONDS), "-c", "8", "-q", "100", *options]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    output = (await process.communicate())[0].decode()
    if process.returncode or number(output, "Queries lost:") > 0:
        raise Unsound(output[-2000:])
    return output


def number(output: str, label: str) -> float:
    """The first number behind the label."""
    return float(output.partition(label)[2].split()[0])
