"""WATCH: order, selectors, initial events, bookmarks, and how a watch ends."""
from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from tests.apiserver.inprocess import InProcess, Stream, in_process
from tiffin.apiserver.watch import MAX_BUFFERED
from tiffin.net.pki import Pki
from tiffin.store.mvcc import Mvcc

MAPS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
INITIAL = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"


def config_map(name: str, value: str = "", **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "data": {"value": value}}


def short(event: dict[str, Any]) -> tuple[str, str]:
    return event["type"], event["object"].get("metadata", {}).get("name", "")


async def drained(stream: Stream, count: int) -> list[tuple[str, str]]:
    return [short(await stream.next()) for _ in range(count)]


async def revision(api: InProcess) -> int:
    return (await api.get(MAPS)).revision


async def test_every_change_comes_once_and_in_order(api: InProcess) -> None:
    since = await revision(api)
    early = await api.watch(f"{MAPS}?watch=1&resourceVersion={since}")

    async def work(name: str) -> None:
        await api.made(MAPS, config_map(name))
        for value in "123":
            await api.patch(f"{MAPS}/{name}", {"data": {"value": value}})
        await api.delete(f"{MAPS}/{name}")

    await asyncio.gather(*(work(f"n{number}") for number in range(10)))
    late = await api.watch(f"{MAPS}?watch=1&resourceVersion={since}")
    found = [await early.next() for _ in range(50)]
    assert found == [await late.next() for _ in range(50)]
    revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in found]
    assert revisions == sorted(set(revisions)) and revisions[-1] == api.store.revision
    for number in range(10):
        own = [event["type"] for event in found if event["object"]["metadata"]["name"] == f"n{number}"]
        assert own == ["ADDED", "MODIFIED", "MODIFIED", "MODIFIED", "DELETED"]
    assert len(early.events) == len(late.events) == 50


async def test_a_watch_resumes_in_the_middle(api: InProcess) -> None:
    since = await revision(api)
    for name in "abc":
        await api.made(MAPS, config_map(name))
    stream = await api.watch(f"{MAPS}?watch=1&resourceVersion={since + 1}")
    assert await drained(stream, 2) == [("ADDED", "b"), ("ADDED", "c")]


async def test_other_namespaces_and_other_resources_are_not_seen(api: InProcess) -> None:
    since = await revision(api)
    one = await api.watch(f"{MAPS}?watch=1&resourceVersion={since}")
    every = await api.watch(f"/api/v1/configmaps?watch=1&resourceVersion={since}")
    await api.made("/api/v1/namespaces/kube-system/configmaps", config_map("theirs"))
    await api.made("/api/v1/namespaces/default/secrets", {"metadata": {"name": "secret"}})
    await api.made(MAPS, config_map("ours"))
    assert await drained(every, 2) == [("ADDED", "theirs"), ("ADDED", "ours")]
    assert await drained(one, 1) == [("ADDED", "ours")]


async def test_one_object_is_watched_by_name(api: InProcess) -> None:
    since = await revision(api)
    by_field = await api.watch(f"{MAPS}?watch=1&fieldSelector=metadata.name%3Db&resourceVersion={since}")
    by_path = await api.watch(f"/api/v1/watch/namespaces/default/configmaps/b?resourceVersion={since}")
    for name in "abc":
        await api.made(MAPS, config_map(name))
    await api.delete(f"{MAPS}/b")
    for stream in (by_field, by_path):
        assert await drained(stream, 2) == [("ADDED", "b"), ("DELETED", "b")]


async def test_with_a_selector_objects_come_and_go_as_they_match(api: InProcess) -> None:
    await api.made(MAPS, config_map("x", color="blue"))
    stream = await api.watch(f"{MAPS}?watch=1&labelSelector=color%3Dred&resourceVersion={await revision(api)}")
    for color in ("green", "red", "red", "blue", "red"):
        await api.patch(f"{MAPS}/x", {"metadata": {"labels": {"color": color}}, "data": {"value": color + str(api.store.revision)}})
    await api.delete(f"{MAPS}/x")
    found = [await stream.next() for _ in range(5)]
    assert [event["type"] for event in found] == ["ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED"]
    assert found[2]["object"]["metadata"]["labels"] == {"color": "red"}, "what no longer matches goes with its old content"
    revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in found]
    assert revisions == sorted(set(revisions)), "and under the revision of the change"


async def test_a_watch_without_a_revision_begins_with_what_is_there(api: InProcess) -> None:
    await api.made(MAPS, config_map("a"))
    for query in ("watch=1", "watch=true&resourceVersion=0"):
        stream = await api.watch(f"{MAPS}?{query}")
        assert await drained(stream, 1) == [("ADDED", "a")]
    await api.made(MAPS, config_map("b"))
    assert await drained(stream, 1) == [("ADDED", "b")]


async def test_the_end_of_the_initial_events_is_marked(api: InProcess) -> None:
    for name in "abc":
        await api.made(MAPS, config_map(name))
    stream = await api.watch(f"{MAPS}?{INITIAL}")
    assert await drained(stream, 3) == [("ADDED", name) for name in "abc"]
    mark = await stream.next()
    assert mark["type"] == "BOOKMARK"
    assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(mark["object"]["metadata"]["resourceVersion"]) == api.store.revision
    await api.made(MAPS, config_map("d"))
    assert await drained(stream, 1) == [("ADDED", "d")]


async def test_writes_while_the_initial_events_are_sent_come_after_them(api: InProcess) -> None:
    for number in range(450):
        await api.made(MAPS, config_map(f"n{number:03}"))
    stream = await api.watch(f"{MAPS}?{INITIAL}")
    assert len(stream.events) < 450, "a client takes a part before it gets the next"
    await api.made(MAPS, config_map("during"))
    found = await drained(stream, 452)
    assert found[:450] == [("ADDED", f"n{number:03}") for number in range(450)]
    assert [type for type, _ in found[450:]] == ["BOOKMARK", "ADDED"]


async def test_bookmarks_are_for_those_who_asked(api: InProcess) -> None:
    since = await revision(api)
    asked = await api.watch(f"{MAPS}?watch=1&allowWatchBookmarks=true&resourceVersion={since}")
    silent = await api.watch(f"{MAPS}?watch=1&resourceVersion={since}")
    await api.made("/api/v1/namespaces", {"metadata": {"name": "elsewhere"}})
    for watcher in list(api.assembly.resources.watches.running):
        watcher.send_bookmark()
    mark = await asked.next()
    assert mark["type"] == "BOOKMARK" and mark["object"]["kind"] == "ConfigMap"
    assert int(mark["object"]["metadata"]["resourceVersion"]) == api.store.revision
    assert silent.events == []


async def test_a_revision_that_is_forgotten_is_an_error_event(pki: Pki) -> None:
    async with in_process(pki, index=Mvcc(window_events=5)) as api:
        for name in "abcdefgh":
            await api.made(MAPS, config_map(name))
        stream = await api.watch(f"{MAPS}?watch=1&resourceVersion={api.store.revision - 7}")
        (event,) = await stream.until_ended()
        assert event["type"] == "ERROR"
        assert (event["object"]["kind"], event["object"]["code"], event["object"]["reason"]) == ("Status", 410, "Expired")
        assert event["object"]["message"].startswith("too old resource version: ")
        within = await api.watch(f"{MAPS}?watch=1&resourceVersion={api.store.revision - 5}")
        assert await drained(within, 5) == [("ADDED", name) for name in "defgh"]


@pytest.mark.parametrize("query", ["watch=1&resourceVersion=99999999", f"{INITIAL}&resourceVersion=99999999"])
async def test_a_revision_that_has_not_happened_is_an_error_event(api: InProcess, query: str) -> None:
    (event,) = await (await api.watch(f"{MAPS}?{query}")).until_ended()
    assert (event["type"], event["object"]["code"]) == ("ERROR", 504)


@pytest.mark.parametrize(("query", "status"), [
    ("watch=1&resourceVersion=x", 500), ("watch=1&labelSelector=a+b+c", 400), ("watch=1&fieldSelector=data.x%3D1", 400), ("watch=1&timeoutSeconds=x", 400),
    ("watch=1&resourceVersionMatch=Exact", 422), ("watch=1&sendInitialEvents=true", 422), ("watch=1&sendInitialEvents=true&resourceVersionMatch=Exact", 422)])
async def test_a_watch_that_cannot_begin_says_so_before_it_does(api: InProcess, query: str, status: int) -> None:
    answer = await api.get(f"{MAPS}?{query}")
    assert answer.status == status and answer.object["kind"] == "Status"


async def test_a_watch_ends_when_its_time_is_up(api: InProcess) -> None:
    stream = await api.watch(f"{MAPS}?watch=1&timeoutSeconds=1&resourceVersion={await revision(api)}")
    assert await stream.until_ended() == []
    assert not api.assembly.resources.watches.running


async def test_a_watch_ends_when_the_client_leaves(api: InProcess) -> None:
    stream = await api.watch(f"{MAPS}?watch=1&resourceVersion={await revision(api)}")
    stream.leave()
    await stream.until_ended()
    assert not api.assembly.resources.watches.running
    await api.made(MAPS, config_map("after"))
    assert stream.events == []


async def test_a_client_that_reads_too_slowly_gets_a_410_and_never_a_gap(api: InProcess) -> None:
    since = await revision(api)
    slow = await api.watch(f"{MAPS}?watch=1&resourceVersion={since}")
    quick = await api.watch(f"{MAPS}?watch=1&resourceVersion={since}")
    slow.stalled = True
    big = "x" * 900_000
    count = MAX_BUFFERED // len(big) + 3
    for number in range(count):
        await api.made(MAPS, config_map(f"n{number:02}", big))
    events = await slow.until_ended()
    assert [event["type"] for event in events[:-1]] == ["ADDED"] * (len(events) - 1)
    assert [event["object"]["metadata"]["name"] for event in events[:-1]] == [f"n{number:02}" for number in range(len(events) - 1)]
    assert (events[-1]["type"], events[-1]["object"]["code"]) == ("ERROR", 410)
    assert len(await drained(quick, count)) == count, "others go on"


async def test_a_large_initial_state_does_not_count_against_a_slow_client(api: InProcess) -> None:
    big = "x" * 900_000
    for number in range(MAX_BUFFERED // len(big) + 3):
        await api.made(MAPS, config_map(f"n{number:02}", big))
    stream = await api.watch(f"{MAPS}?{INITIAL}")
    await api.made(MAPS, config_map("after"))
    found = await drained(stream, MAX_BUFFERED // len(big) + 5)
    assert [type for type, _ in found[-2:]] == ["BOOKMARK", "ADDED"]


async def test_tables_are_watched_with_their_columns_once(api: InProcess) -> None:
    stream = await api.watch(f"{MAPS}?watch=1&resourceVersion={await revision(api)}", accept=TABLE)
    for name in "ab":
        await api.made(MAPS, config_map(name))
    first, second = await stream.next(), await stream.next()
    assert [c["name"] for c in first["object"]["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert second["object"]["columnDefinitions"] is None
    assert [event["object"]["rows"][0]["cells"][0] for event in (first, second)] == ["a", "b"]


async def test_all_watchers_share_one_encoding_of_an_event(api: InProcess) -> None:
    since = await revision(api)
    streams = [await api.watch(f"{MAPS}?watch=1&resourceVersion={since}") for _ in range(5)]
    stored = await api.made(MAPS, config_map("a"))
    for stream in streams:
        await stream.next()
    assert len({stream.data for stream in streams}) == 1
    assert orjson.loads(streams[0].data) == {"type": "ADDED", "object": stored}


async def test_a_fault_in_one_watch_ends_it_and_nothing_else(api: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    since = await revision(api)
    broken = await api.watch(f"{MAPS}?watch=1&resourceVersion={since}", accept=TABLE)
    sound = await api.watch(f"{MAPS}?watch=1&resourceVersion={since}")

    def fail(*arguments: Any) -> Any:
        raise RuntimeError("a fault inside")

    monkeypatch.setattr("tiffin.apiserver.render.Renderer.table", fail)
    await api.made(MAPS, config_map("a"))
    await api.made(MAPS, config_map("b"))
    (event,) = await broken.until_ended()
    assert (event["type"], event["object"]["code"]) == ("ERROR", 500) and "fault" not in event["object"]["message"]
    assert await drained(sound, 2) == [("ADDED", "a"), ("ADDED", "b")]


async def test_reading_needs_the_right_to_watch(api: InProcess) -> None:
    answer = await api.get(f"{MAPS}?watch=1", token="nobody-token")
    assert answer.status == 403 and 'cannot watch resource "configmaps"' in answer.message


async def test_a_bookmark_of_workloads_counts_no_replicas(api: InProcess) -> None:
    stream = await api.watch(f"/apis/apps/v1/namespaces/default/deployments?{INITIAL}")
    mark = await stream.next()
    assert (mark["type"], mark["object"]["spec"]["replicas"]) == ("BOOKMARK", 0)
