"""The index: what it answers by table, and that it agrees with a dictionary per revision whatever happens."""
from __future__ import annotations

from collections.abc import Sequence

import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tiffin.machinery.object import Key
from tiffin.store.mvcc import Compacted, Event, FutureRevision, Mvcc, with_revision

RESOURCES = ("pods", "pods.example", "podsets")
NAMESPACES = ("", "a", "a-b", "a.b", "b")
NAMES = ("x", "x-y", "x.y", "y", "z0")


def encoded(revision: int, value: int = 0) -> bytes:
    return orjson.dumps({"metadata": {"resourceVersion": str(revision)}, "value": value})


class Feed:
    """Puts writes into an index one revision at a time."""

    def __init__(self, index: Mvcc) -> None:
        self.index = index

    def put(self, resource: str, key: Key, value: int = 0) -> int:
        revision = self.index.revision + 1
        previous = self.index.get(resource, key)
        self.index.apply([self.index.event(resource, key, revision, encoded(revision, value), None, previous)])
        return revision

    def delete(self, resource: str, key: Key) -> int:
        revision = self.index.revision + 1
        self.index.apply([self.index.event(resource, key, revision, None, None, self.index.get(resource, key))])
        return revision


@pytest.fixture
def feed() -> Feed:
    return Feed(Mvcc())


def names(index: Mvcc, *arguments: object, **options: object) -> list[str]:
    return [entry.key.name for entry in index.list(*arguments, **options).entries]  # type: ignore[arg-type]


def test_namespaces_and_resources_do_not_run_into_each_other(feed: Feed) -> None:
    for resource in RESOURCES:
        for namespace in NAMESPACES:
            feed.put(resource, Key(namespace, "x"))
    for namespace in NAMESPACES:
        entries = feed.index.list("pods", namespace).entries
        assert [entry.key for entry in entries] == [Key(namespace, "x")]
    assert feed.index.count("pods") == len(NAMESPACES)
    assert feed.index.list("pod").entries == []


def test_a_deletion_carries_the_last_content_under_its_own_revision(feed: Feed) -> None:
    seen: list[Event] = []
    feed.index.watch("pods", 0, seen.extend)
    feed.put("pods", Key("a", "x"), 7)
    revision = feed.delete("pods", Key("a", "x"))
    assert [event.type for event in seen] == ["ADDED", "DELETED"]
    assert seen[1].entry.object == {"metadata": {"resourceVersion": str(revision)}, "value": 7}


def test_deleting_what_was_never_there_is_an_error(feed: Feed) -> None:
    with pytest.raises(KeyError):
        feed.index.event("pods", Key("a", "x"), 1, None, None, None)


def test_a_page_tells_how_many_keys_follow(feed: Feed) -> None:
    for name in NAMES:
        feed.put("pods", Key("a", name))
    first = feed.index.list("pods", "a", limit=2)
    assert ([e.key.name for e in first.entries], first.remaining) == (["x", "x-y"], 3)
    rest = feed.index.list("pods", "a", after=first.entries[-1].key)
    assert ([e.key.name for e in rest.entries], rest.remaining) == (["x.y", "y", "z0"], 0)
    assert feed.index.list("pods", "a", after=Key("a", "zz")).entries == []


def test_a_page_behind_another_namespace_stays_within_its_own(feed: Feed) -> None:
    feed.put("pods", Key("a", "x"))
    feed.put("pods", Key("b", "x"))
    assert names(feed.index, "pods", "a", after=Key("b", "w")) == []
    assert names(feed.index, "pods", "b", after=Key("a", "x")) == ["x"]


def test_what_fell_out_of_the_window_is_refused_and_what_has_not_happened_too() -> None:
    feed = Feed(Mvcc(window_events=3))
    for value in range(6):
        feed.put("pods", Key("a", "x"), value)
    for old in (1, 2):
        with pytest.raises(Compacted) as caught:
            feed.index.watch("pods", old, lambda events: None)
        assert caught.value.revision == 3
        with pytest.raises(Compacted):
            feed.index.list("pods", revision=old)
    assert feed.index.list("pods", revision=3).entries[0].object["value"] == 2
    with pytest.raises(FutureRevision):
        feed.index.list("pods", revision=7)
    with pytest.raises(FutureRevision):
        feed.index.watch("pods", 7, lambda events: None)


def test_the_window_is_bounded_by_bytes_too_and_names_what_is_dead() -> None:
    index = Mvcc(window_bytes=len(encoded(1)) * 2)
    for revision in range(1, 5):
        dead = index.apply([index.event("pods", Key("a", "x"), revision, encoded(revision), None, index.get("pods", Key("a", "x")))])
    assert dead == [1], "the fourth write leaves room for two predecessors: the first goes"
    assert index.compacted == 2


def test_a_deletion_that_leaves_the_window_is_dead_with_what_it_deleted() -> None:
    index = Mvcc(window_events=1)
    index.apply([index.event("pods", Key("a", "x"), 1, encoded(1), None, None)])
    index.apply([index.event("pods", Key("a", "x"), 2, None, None, index.get("pods", Key("a", "x")))])
    assert index.apply([index.event("pods", Key("a", "y"), 3, encoded(3), None, None)]) == [1, 2]


def test_a_watch_that_begins_while_others_are_told_gets_each_event_once() -> None:
    index = Mvcc()
    late: list[int] = []

    def begin_another(events: Sequence[Event]) -> None:
        index.watch("services", 0, lambda found: late.extend(e.revision for e in found))

    index.watch("pods", 0, begin_another)
    index.apply([
        index.event("pods", Key("a", "x"), 1, encoded(1), None, None),
        index.event("services", Key("a", "x"), 2, encoded(2), None, None)])
    assert late == [2]


def test_a_watch_that_is_stopped_while_others_are_told_gets_nothing_more() -> None:
    index = Mvcc()
    seen: list[int] = []
    index.watch("pods", 0, lambda events: stop())
    stop = index.watch("pods", 0, lambda events: seen.append(1))
    index.apply([index.event("pods", Key("a", "x"), 1, encoded(1), None, None)])
    assert seen == []


def test_a_watcher_that_fails_keeps_nothing_from_others(feed: Feed, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[int] = []

    def fail(events: Sequence[Event]) -> None:
        raise RuntimeError("a fault inside")

    feed.index.watch("pods", 0, fail)
    feed.index.watch("pods", 0, lambda events: seen.extend(e.revision for e in events))
    feed.put("pods", Key("a", "x"))
    feed.put("pods", Key("a", "x"))
    assert seen == [1, 2]
    assert "a fault inside" in caplog.text


def test_the_past_keeps_no_more_than_its_bytes(feed: Feed) -> None:
    """What a late watcher made of old events is not remembered for as long as the window is."""
    for value in range(3):
        feed.put("pods", Key("a", "x"), value)

    def look(events: Sequence[Event]) -> None:
        for event in events:
            event.wire = b"encoding"
            assert event.entry.object

    feed.index.watch("pods", 0, look)
    past = feed.index._events_after("pods", 0)
    assert [event.wire for event in past] == [None] * 3
    assert [event.entry._object is None for event in past] == [True, True, False]


def test_only_what_was_decoded_last_stays_decoded() -> None:
    feed = Feed(Mvcc(decoded_bytes=len(encoded(100)) * 3))
    for number in range(100, 110):
        feed.put("pods", Key("a", f"n{number}"))
    first = feed.index.get("pods", Key("a", "n100"))
    assert first is not None
    held = first.object
    for entry in feed.index.entries("pods"):
        assert entry.object["metadata"]
    kept = [entry for entry in feed.index.entries("pods") if entry._object is not None]
    assert len(kept) == 4 and kept[0] is first, "what somebody holds is shared, not decoded twice"
    assert first.object is held


@pytest.mark.parametrize("data", [
    b'{"metadata":{"name":"a","resourceVersion":"7"}}',
    b'{"metadata":{"resourceVersion":"7","name":"a"},"spec":{"resourceVersion":"9"}}',
    b'{"data":{"x":"\\"resourceVersion\\":\\"1\\""},"metadata":{"resourceVersion":"7"}}',
    b'{"spec":{"resourceVersion":"1"},"metadata":{"resourceVersion":"7"}}',
])
def test_with_revision_changes_that_of_the_metadata_and_nothing_else(data: bytes) -> None:
    before, after = orjson.loads(data), orjson.loads(with_revision(data, 12345))
    before["metadata"]["resourceVersion"] = "12345"
    assert after == before


class Machine(RuleBasedStateMachine):
    """The index against one dictionary of states per revision, under random writes, reads and watches."""

    def __init__(self) -> None:
        super().__init__()
        self.states: dict[int, dict[tuple[str, Key], int]] = {0: {}}
        self.history: list[tuple[int, str, Key, str]] = []
        self.watches: list[tuple[str, int, list[tuple[int, str, Key, str]]]] = []

    @initialize(events=st.integers(1, 12), size=st.integers(100, 2000))
    def begin(self, events: int, size: int) -> None:
        self.index = Mvcc(window_events=events, window_bytes=size)

    keys = st.builds(Key, st.sampled_from(NAMESPACES), st.sampled_from(NAMES))
    writes = st.lists(st.tuples(st.sampled_from(RESOURCES), keys, st.one_of(st.none(), st.integers(0, 99))), min_size=1, max_size=5)

    @rule(writes=writes)
    def commit(self, writes: list[tuple[str, Key, int | None]]) -> None:
        """A batch: each write may build on one before it that the index does not show yet, as in the store."""
        pending: dict[tuple[str, Key], Event | None] = {}
        events, revision = [], self.index.revision
        for resource, key, value in writes:
            before = pending.get((resource, key))
            previous = before.entry if before is not None and before.type != "DELETED" else None
            if (resource, key) not in pending:
                previous = self.index.get(resource, key)
            if value is None and previous is None:
                continue
            revision += 1
            event = self.index.event(resource, key, revision, None if value is None else encoded(revision, value), None, previous)
            events.append(event)
            pending[resource, key] = event
            self._model(revision, resource, key, value)
        self.index.apply(events)

    def _model(self, revision: int, resource: str, key: Key, value: int | None) -> None:
        state = dict(self.states[revision - 1])
        type = "DELETED" if value is None else "MODIFIED" if (resource, key) in state else "ADDED"
        if value is None:
            del state[resource, key]
        else:
            state[resource, key] = value
        self.states[revision] = state
        self.history.append((revision, resource, key, type))

    @rule(resource=st.sampled_from(RESOURCES), back=st.integers(0, 15))
    def watch(self, resource: str, back: int) -> None:
        since = max(0, self.index.revision - back)
        seen: list[tuple[int, str, Key, str]] = []

        def sink(events: Sequence[Event]) -> None:
            seen.extend((e.revision, e.resource, e.entry.key, e.type.value) for e in events)

        if since < self.index.compacted:
            with pytest.raises(Compacted):
                self.index.watch(resource, since, sink)
        else:
            self.index.watch(resource, since, sink)
            self.watches.append((resource, since, seen))

    @rule(resource=st.sampled_from(RESOURCES), namespace=st.one_of(st.none(), st.sampled_from(NAMESPACES)), back=st.integers(0, 15), limit=st.integers(0, 4))
    def page_through(self, resource: str, namespace: str | None, back: int, limit: int) -> None:
        """A list in pages at any known revision is the state at that revision, in key order, each key once."""
        revision = max(1, self.index.revision - back)
        if revision > self.index.revision or revision < self.index.compacted:
            return
        expected = sorted((f"{k.namespace}/{k.name}", value) for (r, k), value in self.states[revision].items()
                          if r == resource and namespace in (None, k.namespace))
        found, after = [], None
        while True:
            page = self.index.list(resource, namespace, after, limit, revision)
            found += [(f"{e.key.namespace}/{e.key.name}", e.object["value"]) for e in page.entries]
            assert page.remaining == len(expected) - len(found)
            assert page.revision == revision
            if not page.remaining:
                break
            after = page.entries[-1].key
        assert found == expected

    @invariant()
    def watches_saw_everything_once_and_in_order(self) -> None:
        for resource, since, seen in self.watches:
            assert seen == [change for change in self.history if change[1] == resource and change[0] > since]

    @invariant()
    def live_state_agrees(self) -> None:
        state = self.states[self.index.revision]
        for resource in RESOURCES:
            assert self.index.count(resource) == sum(r == resource for r, _ in state)
            assert {e.key: e.object["value"] for e in self.index.entries(resource)} == {k: v for (r, k), v in state.items() if r == resource}


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAgainstModel = Machine.TestCase
