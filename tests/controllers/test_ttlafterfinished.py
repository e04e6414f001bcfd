"""Jobs that go after they finished."""
from __future__ import annotations

from tests.controllers.cluster import Cluster, made
from tiffin.controllers import ttlafterfinished
from tiffin.controllers.resources import JOBS


async def test_a_job_goes_when_its_time_has_come() -> None:
    async with Cluster(ttlafterfinished) as c:
        await c.create(JOBS, made(JOBS, "kept", spec={}))
        await c.create(JOBS, made(JOBS, "j", spec={"ttlSecondsAfterFinished": 10}))
        await c.clock.advance(60)
        done = {"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:01:00Z"}
        for name in ("kept", "j"):
            await c.patch(JOBS, name, {"status": {"conditions": [done]}}, subresource="status")
        await c.clock.advance(5)
        assert c.names(JOBS) == ["j", "kept"]
        await c.clock.advance(10)
        assert "deletionTimestamp" in c.one(JOBS, "j")["metadata"] and "deletionTimestamp" not in c.one(JOBS, "kept")["metadata"]
