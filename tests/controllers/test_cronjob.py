"""Cron jobs: on time, late, forbidden, replaced, and forgotten."""
from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.controllers.cluster import Cluster, made
from tiffin.api.batch.schedule import parse_schedule
from tiffin.controllers import cronjob
from tiffin.controllers.resources import CRON_JOBS, JOBS
from tiffin.machinery.object import Object


def tick(schedule: str = "*/5 * * * *", **spec: Any) -> Object:
    return made(CRON_JOBS, "cj", spec={"schedule": schedule, "jobTemplate": {"metadata": {"labels": {"made-by": "cj"}}, "spec": {}}, **spec})


async def finish(c: Cluster, job: str, type: str = "Complete") -> None:
    time = c.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    status = {"startTime": time, "completionTime": time, "conditions": [{"type": type, "status": "True", "lastTransitionTime": time}]}
    await c.patch(JOBS, job, {"status": status}, subresource="status")


async def test_makes_a_job_at_every_time() -> None:
    async with Cluster(cronjob) as c:
        await c.create(CRON_JOBS, tick())
        await c.clock.advance(301)
        (job,) = c.all(JOBS)
        moment = int(datetime(2026, 1, 1, 0, 5, tzinfo=UTC).timestamp()) // 60
        assert job["metadata"]["name"] == f"cj-{moment}" and job["metadata"]["annotations"] == {cronjob.SCHEDULED_AT: "2026-01-01T00:05:00Z"}
        status = c.one(CRON_JOBS, "cj")["status"]
        assert status["lastScheduleTime"] == "2026-01-01T00:05:00Z" and [r["name"] for r in status["active"]] == c.names(JOBS)
        await finish(c, c.names(JOBS)[0])
        status = c.one(CRON_JOBS, "cj")["status"]
        assert "active" not in status and status["lastSuccessfulTime"] and len(c.events("SawCompletedJob")) == 1
        await c.clock.advance(300)
        assert len(c.names(JOBS)) == 2


async def test_missed_times_are_made_up_for_by_one_job() -> None:
    async with Cluster(cronjob) as c:
        await c.create(CRON_JOBS, tick("0 0 1 1 *", suspend=True))
        await c.patch(CRON_JOBS, "cj", {"status": {"lastScheduleTime": "2020-01-01T00:00:00Z"}}, subresource="status")
        assert c.names(JOBS) == []
        await c.patch(CRON_JOBS, "cj", {"spec": {"suspend": False}})
        assert len(c.names(JOBS)) == 1 and c.one(CRON_JOBS, "cj")["status"]["lastScheduleTime"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(("policy", "count", "events"), [("Allow", 2, 0), ("Forbid", 1, 1), ("Replace", 1, 0)])
async def test_what_happens_when_one_still_runs(policy: str, count: int, events: int) -> None:
    async with Cluster(cronjob) as c:
        await c.create(CRON_JOBS, tick(concurrencyPolicy=policy))
        await c.clock.advance(301)
        first = c.names(JOBS)[0]
        await c.clock.advance(300)
        assert len(c.names(JOBS)) == count and len(c.events("JobAlreadyActive")) == events
        assert (first in c.names(JOBS)) is (policy != "Replace")


async def test_too_late_is_not_started() -> None:
    async with Cluster(cronjob) as c:
        await c.create(CRON_JOBS, tick("0 * * * *", startingDeadlineSeconds=30, suspend=True))
        await c.clock.advance(3700)
        await c.patch(CRON_JOBS, "cj", {"spec": {"suspend": False}})
        assert c.names(JOBS) == []


async def test_history_limits() -> None:
    async with Cluster(cronjob) as c:
        await c.create(CRON_JOBS, tick(successfulJobsHistoryLimit=1, failedJobsHistoryLimit=0))
        for end in ("Complete", "Failed", "Complete"):
            await c.clock.advance(301)
            await finish(c, c.names(JOBS)[-1], end)
        assert len(c.names(JOBS)) == 1


async def test_time_zones() -> None:
    async with Cluster(cronjob) as c:
        await c.create(CRON_JOBS, tick("30 9 * * *", timeZone="Asia/Tokyo"))
        await c.clock.advance(1801)
        assert len(c.names(JOBS)) == 1


def test_the_latest_time_is_found_from_the_end() -> None:
    schedule = parse_schedule("* * * * *")
    here = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
    first = datetime(2016, 1, 1, tzinfo=UTC)
    assert cronjob.latest_before(schedule, here, first, timedelta(minutes=1)) == here.replace(second=0)


async def test_a_job_of_another_making_is_told_and_not_counted() -> None:
    async with Cluster(cronjob) as c:
        owner = await c.create(CRON_JOBS, tick(suspend=True))
        reference = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "cj", "uid": owner["metadata"]["uid"], "controller": True}
        await c.create(JOBS, made(JOBS, "by-hand", metadata={"ownerReferences": [reference], "annotations": {"cronjob.kubernetes.io/instantiate": "manual"}}))
        assert c.events("UnexpectedJob")[0] == "Saw a job that the controller did not create or forgot: by-hand"
        assert "active" not in c.one(CRON_JOBS, "cj").get("status", {})
