"""Probing of running containers: one small task per probe that sleeps until its next turn, and results by container.

Rules: a startup probe holds the others back until it succeeds; readiness counts as "no" and liveness as "yes" until they have
spoken; thresholds count consecutive answers; when a pod ends, only readiness goes on. A change of result tells `changed(uid)`.
"""
from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tiffin.kubelet import handlers
from tiffin.kubelet.runtime import Runtime
from tiffin.kubelet.state import Container, Probed
from tiffin.machinery.object import Object, uid_of
from tiffin.runtime.clock import Clock

KINDS = ("startup", "liveness", "readiness")
RecordFor = Callable[[Object, str, str, str, str], None]
"""Records an event about a container of a pod: pod, container name, type, reason, message."""


class Probes:
    """All probes of a node."""

    def __init__(self, runtime: Runtime, clock: Clock, record: RecordFor, changed: Callable[[str], None]) -> None:
        self._runtime, self._clock, self._record, self._changed = runtime, clock, record, changed
        self._tasks: dict[str, dict[str, asyncio.Task[None]]] = {}
        self._results: dict[str, Probed] = {}

    def results(self, container_ids: Mapping[str, Any] | list[str]) -> dict[str, Probed]:
        return {i: self._results[i] for i in container_ids if i in self._results}

    def remember(self, container_id: str, probed: Probed) -> None:
        """Start from what was known before the agent restarted, so that an adopted container does not blink."""
        self._results.setdefault(container_id, probed)

    def watch(self, pod: Object, container: Object, run: Container, address: str, *, ending: bool) -> None:
        """Probe a running container; called again it changes nothing, but for stopping what an ending pod needs no more."""
        tasks = self._tasks.setdefault(run.id, {})
        if ending:
            for kind in ("startup", "liveness"):
                if task := tasks.get(kind):
                    task.cancel()
            return
        result = self._results.get(run.id, Probed())
        for kind in KINDS:
            probe = container.get(f"{kind}Probe")
            held_back = kind != "startup" and container.get("startupProbe") and not result.started
            done = kind == "startup" and result.started
            if probe and kind not in tasks and not held_back and not done:
                coroutine = self._probe(kind, probe, pod, container, run, address)
                tasks[kind] = asyncio.create_task(coroutine, name=f"{kind} probe of {run.name}")

    def forget(self, container_id: str) -> None:
        """Stop probing a container that no longer runs."""
        for task in self._tasks.pop(container_id, {}).values():
            task.cancel()
        self._results.pop(container_id, None)

    def watched(self) -> list[str]:
        return list(self._tasks)

    def close(self) -> None:
        for container_id in self.watched():
            self.forget(container_id)

    async def _probe(self, kind: str, probe: Mapping[str, Any], pod: Object, container: Object, run: Container, address: str) -> None:
        period = probe.get("periodSeconds") or 10
        since = (self._clock.now() - run.started_at).total_seconds() if run.started_at else 0.0
        wait = (probe.get("initialDelaySeconds") or 0) - since
        if wait > 0:
            await self._clock.sleep(wait)
        elif since > period:
            await self._clock.sleep(random.random() * period)  # adopted containers are not all asked at the same moment
        streak, last = 0, None
        while True:
            good, words = await self._ask(probe, container, run, address)
            if not good:
                self._record(pod, container["name"], "Warning", "Unhealthy", f"{kind.capitalize()} probe failed: {words}")
            streak = streak + 1 if good == last else 1
            last = good
            if streak >= (probe.get("successThreshold") or 1 if good else probe.get("failureThreshold") or 3):
                self._conclude(pod, run, kind, good)
                if kind == "startup" or (kind == "liveness" and not good):
                    return
            await self._clock.sleep(period)

    async def _ask(self, probe: Mapping[str, Any], container: Object, run: Container, address: str) -> tuple[bool, str]:
        try:
            await handlers.run(probe, container, run.id, address, self._runtime, probe.get("timeoutSeconds") or 1)
        except handlers.HandlerFault as fault:
            return False, str(fault)
        return True, ""

    def _conclude(self, pod: Object, run: Container, kind: str, good: bool) -> None:
        old = self._results.get(run.id, Probed())
        match kind:
            case "readiness":
                new = replace(old, ready=good)
            case "startup" if good:
                new = replace(old, started=True)
            case _:
                new = old if good else replace(old, failed=kind)
        if new != old:
            self._results[run.id] = new
            self._changed(uid_of(pod))
