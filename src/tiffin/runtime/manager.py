"""All controllers in one process around one set of caches."""
from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from tiffin.client.cache import Caches
from tiffin.client.client import Client
from tiffin.runtime.clock import Clock
from tiffin.runtime.controller import Controller
from tiffin.runtime.events import EventRecorder
from tiffin.runtime.runner import Runner


async def run_controllers(client_for: Callable[[str], Client], controllers: Iterable[Controller], clock: Clock) -> None:
    """Run the controllers until cancelled.

    `client_for(name)` gives the client of the service account of that name in kube-system; `client_for("")` that of the manager
    itself, `system:kube-controller-manager`, which fills the caches and so must be able to list and watch everything.
    """
    caches = Caches(client_for(""), clock.now, clock.sleep)
    async with asyncio.TaskGroup() as tasks:
        runners = []
        for controller in controllers:
            client = client_for(controller.name)
            recorder = EventRecorder(client, clock, controller.component or controller.name)
            runners.append(Runner(client, controller, caches, recorder, clock))
            tasks.create_task(recorder.run(), name=f"{controller.name} events")
        tasks.create_task(caches.run(), name="caches")
        for runner in runners:
            tasks.create_task(runner.run(), name=runner.controller.name)
