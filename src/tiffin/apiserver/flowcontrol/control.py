"""Priority and fairness of one server: follows the stored configuration and finds each request's flow.

Rules
* A request pays a dictionary look-up for its flow. What was found is kept until the configuration changes.
* Until there is a configuration, and for what no schema matches, the mandatory catch-all rules, built in.
* Levels live on when their object changes or goes: requests under way keep their seats.
"""
from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tiffin.apiserver.authz.attributes import Attributes
from tiffin.apiserver.flowcontrol.bootstrap import bootstrap_objects
from tiffin.apiserver.flowcontrol.level import Level
from tiffin.apiserver.flowcontrol.matching import Schema
from tiffin.apiserver.flowcontrol.sharing import Need, divide, limits_of
from tiffin.machinery.object import Object, dig, name_of

CONCURRENCY = 1200
"""Seats of the whole server."""
REBALANCE_SECONDS = 0.05
KEPT = 16384
OBJECTS_PER_SEAT, MOST_SEATS = 100, 10


class Flow:
    """The flow of a request: its schema, its level, and what tells it from other flows of the schema."""

    __slots__ = ("distinguisher", "level", "schema")

    def __init__(self, schema: Schema, level: Level, distinguisher: str) -> None:
        self.schema, self.level, self.distinguisher = schema, level, distinguisher

    async def wait(self, width: int) -> None:
        """Waits for `width` seats of the level. Raises `level.Refused`."""
        await self.level.wait(self.schema.name, self.distinguisher, width)


class FlowControl(Collector):
    """All flow schemas and priority levels, compiled. `configure` takes over what is stored."""

    def __init__(self, concurrency: int = CONCURRENCY) -> None:
        self.concurrency = concurrency
        self._levels: dict[str, Level] = {}
        self._schemas: list[Schema] = []
        self._flows: dict[tuple[Any, ...], Flow] = {}
        self._rebalanced = 0.0
        built_in = bootstrap_objects()
        self._fallback = {o["kind"]: o for o in built_in if name_of(o) == "catch-all"}
        self.configure(
            [o for o in built_in if o["kind"] == "PriorityLevelConfiguration"], [o for o in built_in if o["kind"] == "FlowSchema"])

    def configure(self, levels: Iterable[Object], schemas: Iterable[Object]) -> None:
        """Replaces the configuration. A schema whose level does not exist is left out."""
        known = {name_of(obj): obj for obj in levels}
        known.setdefault("catch-all", self._fallback["PriorityLevelConfiguration"])
        shares = sum(dig(o, "spec", "limited", "nominalConcurrencyShares", default=0) or 0 for o in known.values())
        kept = {name: self._levels.get(name) or Level(name, self._rebalance) for name in known}
        for name, obj in known.items():
            kept[name].configure(obj, limits_of(obj["spec"], self.concurrency, shares))
        before = {schema.name: schema.dispatched for schema in self._schemas}
        compiled = [Schema(obj) for obj in schemas]
        if not any(schema.name == "catch-all" for schema in compiled):
            compiled.append(Schema(self._fallback["FlowSchema"]))
        for schema in compiled:
            schema.dispatched = before.get(schema.name, 0)
        self._levels = kept
        self._schemas = sorted((s for s in compiled if s.level in kept), key=lambda schema: schema.order)
        self._flows.clear()

    def flow(self, action: Attributes) -> Flow:
        """The flow of a request."""
        user = action.user
        key: tuple[Any, ...]
        if action.is_resource:
            key = (user.name, user.groups, action.verb, action.group, action.resource, action.subresource, action.namespace)
        else:
            key = (user.name, user.groups, action.verb, action.path)
        found = self._flows.get(key)
        if found is None:
            if len(self._flows) >= KEPT:
                self._flows.clear()
            found = self._flows[key] = self._find(action)
        found.schema.dispatched += 1
        return found

    def _find(self, action: Attributes) -> Flow:
        schema = next((s for s in self._schemas if s.matches(action)), None) or self._catch_all()
        return Flow(schema, self._levels[schema.level], schema.distinguisher(action))

    def _catch_all(self) -> Schema:
        return next((s for s in self._schemas if s.name == "catch-all"), None) or Schema(self._fallback["FlowSchema"])

    def _rebalance(self) -> None:
        """Divides the seats anew by present need; called when a level has none left, and not more often than worth while."""
        now = time.monotonic()
        if now - self._rebalanced < REBALANCE_SECONDS:
            return
        self._rebalanced = now
        limited = [level for level in self._levels.values() if not level.exempt]
        for level, seats in zip(limited, divide(self.concurrency, [Need(one.limits, one.demand + 1) for one in limited])):
            level.limit = max(1, seats)
        for level in limited:
            if level.waiting:
                level.serve()

    def collect(self) -> Iterator[Metric]:
        """The families of the exposition; labels are names of stored objects and fixed reasons."""
        name = "apiserver_flowcontrol_"
        dispatched = CounterMetricFamily(
            f"{name}dispatched_requests_total", "Requests that found their flow", labels=("flow_schema", "priority_level"))
        for schema in self._schemas:
            dispatched.add_metric((schema.name, schema.level), schema.dispatched)
        rejected = CounterMetricFamily(
            f"{name}rejected_requests_total", "Requests refused", labels=("flow_schema", "priority_level", "reason"))
        gauges = {
            "nominal_limit_seats": lambda level: level.limits.nominal, "current_limit_seats": lambda level: level.limit,
            "lower_limit_seats": lambda level: level.limits.least, "upper_limit_seats": lambda level: level.limits.most,
            "current_executing_requests": lambda level: level.executing, "current_executing_seats": lambda level: level.seats,
            "current_inqueue_requests": lambda level: level.waiting}
        for level in self._levels.values():
            for (schema_name, reason), number in level.refused.items():
                rejected.add_metric((schema_name, level.name, reason), number)
        yield dispatched
        yield rejected
        for suffix, value in gauges.items():
            gauge = GaugeMetricFamily(name + suffix, "Seats or requests of a priority level", labels=("priority_level",))
            for level in self._levels.values():
                gauge.add_metric((level.name,), value(level))
            yield gauge


def seats_of_list(count: int, limit: int) -> int:
    """The seats a list of `count` stored objects takes; `limit` is the page's, 0 for all of them."""
    wanted = min(count, limit) if limit else count
    return max(1, min(MOST_SEATS, -(-wanted // OBJECTS_PER_SEAT)))
