"""Questions for names that are not the cluster's, sent on to the node's resolvers.

Rules:
* What was answered is kept for as long as it says; the same question, while it is on its way, is sent once.
* So many questions may be on their way, and so many of one asker wait, so that neither a flood of names that do not exist nor one pod
  that asks without end keeps others from being answered: what is too much is SERVFAIL at once, and silence when that is too much, too.
* A server that stays silent, fails or refuses is followed by the next, and all of them together have `ATTEMPTS`' seconds.
* When the servers are new, a name that nobody else can know is asked for; if that question arrives here, our resolvers ask us, and
  nothing is sent on any more until they change.
"""
from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from datetime import datetime

from tiffin.dns import upstream
from tiffin.dns.kept import Asked, KeptAnswers
from tiffin.dns.message import Message, parse
from tiffin.dns.metrics import Metrics
from tiffin.dns.resolvers import Resolvers, Server
from tiffin.dns.wire import RD, Malformed, Question, Rcode, Type, encode_name
from tiffin.runtime.clock import Clock

log = logging.getLogger(__name__)

ATTEMPTS = 1.0, 1.5, 2.0
"""Seconds for each attempt; together less than the 5 that C libraries wait."""
ON_THE_WAY, OF_ONE, REFUSALS = 256, 128, 128
"""Questions sent and not yet answered, questions of one asker that wait, and refusals that one asker gets in a second."""
FAILED = Message(Rcode.SERVFAIL, False, (), (), ())


class Forwarder:
    """Answers from elsewhere."""

    def __init__(self, resolvers: Resolvers, clock: Clock, metrics: Metrics) -> None:
        self._resolvers, self._clock, self._metrics = resolvers, clock, metrics
        self._kept = KeptAnswers(clock.now)
        self._sent: dict[Asked, asyncio.Task[Message]] = {}
        self._waiting: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._second = 0
        self._generation = 0
        self._probe = b""
        self._probing: asyncio.Task[None] | None = None
        self._loops = False

    async def close(self) -> None:
        tasks = [*self._sent.values(), *([self._probing] if self._probing else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def kept(self, question: Question) -> tuple[Message, int] | None:
        """An answer that is at hand, and its age."""
        found = self._kept.get((question.name.lower(), question.type))
        self._metrics.cache["miss" if found is None else "hit"] += 1
        return (parse(found[0]), found[1]) if found else None

    def has_room(self, question: Question, source: str) -> bool:
        """Whether the question may be asked now."""
        if self._waiting[source] >= OF_ONE:
            return False
        return len(self._sent) < ON_THE_WAY or (question.name.lower(), question.type) in self._sent

    def is_worth_a_refusal(self, source: str) -> bool:
        """Whether somebody whose question there is no room for gets an answer at all."""
        second = int(self._clock.now().timestamp())
        if second != self._second:
            self._second = second
            self._refused.clear()
        self._refused[source] += 1
        self._metrics.dropped["overload"] += 1
        return self._refused[source] <= REFUSALS

    async def ask(self, question: Question, source: str) -> Message:
        """The answer to a question of `source`; SERVFAIL when there is none, or no room."""
        asked = (question.name.lower(), question.type)
        if self._is_looping(asked[0]) or not self.has_room(question, source):
            return FAILED
        task = self._sent.get(asked)
        if task is None:
            task = self._sent[asked] = asyncio.create_task(self._send(question, asked))
            task.add_done_callback(lambda _: self._sent.pop(asked, None))
        self._waiting[source] += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting[source] -= 1
            if not self._waiting[source]:
                del self._waiting[source]

    def _is_looping(self, name: bytes) -> bool:
        if name == self._probe and not self._loops:
            log.error("the node's resolvers ask the cluster's DNS again: names outside the cluster have no answer until resolv.conf changes")
            self._loops = True
        servers = self._resolvers.servers()
        if self._resolvers.generation != self._generation:
            self._generation, self._loops = self._resolvers.generation, False
            self._kept.clear()
            self._probe = encode_name(f"{secrets.token_hex(16)}.{secrets.token_hex(16)}")
            if self._probing:
                self._probing.cancel()
            if servers:
                self._probing = asyncio.create_task(self._look_for_loop(servers[0], Question(self._probe, Type.HINFO, 1)))
        return self._loops

    async def _look_for_loop(self, server: Server, probe: Question) -> None:
        try:
            await upstream.ask(server, probe, RD, ATTEMPTS[0], self._clock)
        except (OSError, Malformed):
            pass  # only the question's own way matters

    async def _send(self, question: Question, asked: Asked) -> Message:
        """One question through the servers. Every failure ends in an answer."""
        found = FAILED
        servers = self._resolvers.servers()
        for attempt, seconds in enumerate(ATTEMPTS if servers else ()):
            server = servers[attempt % len(servers)]
            began = self._clock.now()
            try:
                found, data = await upstream.ask(server, question, RD, seconds, self._clock)
            except (OSError, Malformed) as error:
                self._failed(server, error)
                continue
            self._answered(server, began)
            if found.code in (Rcode.NOERROR, Rcode.NXDOMAIN) or attempt >= len(servers) - 1:
                self._kept.put(asked, found, data)
                break
        return found

    def _failed(self, server: Server, error: Exception) -> None:
        self._metrics.upstream["timeout" if isinstance(error, TimeoutError) else "failed"] += 1
        self._resolvers.silent(server)
        log.debug("name server %s: %s", server.address, error)

    def _answered(self, server: Server, began: datetime) -> None:
        self._resolvers.answered(server)
        self._metrics.upstream["answered"] += 1
        self._metrics.upstream_seconds += (self._clock.now() - began).total_seconds()
