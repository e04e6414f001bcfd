"""What becomes of a packet: answered at once, or later when others have answered, or not at all."""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from tiffin.dns import wire
from tiffin.dns.answers import Answers, Elsewhere
from tiffin.dns.encoding import encode
from tiffin.dns.forward import Forwarder
from tiffin.dns.message import Message
from tiffin.dns.metrics import Metrics
from tiffin.dns.records import Records
from tiffin.dns.wire import IN, MAX_MESSAGE, Answer, Question, Rcode, Record

log = logging.getLogger(__name__)

Send = Callable[[bytes], None]


class Service:
    """The name server without its sockets."""

    def __init__(self, answers: Answers, records: Records, forwarder: Forwarder, metrics: Metrics) -> None:
        self._answers, self._records, self._forwarder, self._metrics = answers, records, forwarder, metrics
        self._later: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        tasks = list(self._later)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._forwarder.close()

    def handle(self, data: bytes, source: str, *, stream: bool, send: Send) -> bool:
        """Gives the answer, if there is one, to `send`, now or later; true when it is to come."""
        if stream and (answer := self._answers.kept(data, stream)) is not None:
            send(answer)
            return False
        try:
            found = self._answers.find(data, self._records, stream=stream)
        except wire.Ignored:
            self._metrics.dropped["ignored"] += 1
            return False
        if isinstance(found, bytes):
            send(found)
            return False
        question = self._asked(found)
        if kept := self._forwarder.kept(question):
            send(self._encoded(found, *kept, stream=stream))
            return False
        if not self._forwarder.has_room(question, source):
            if stream or self._forwarder.is_worth_a_refusal(source):
                send(wire.failure(found.query, Rcode.SERVFAIL))
            return False
        task = asyncio.create_task(self._answer_later(found, question, source, stream=stream, send=send))
        self._later.add(task)
        task.add_done_callback(self._ended)
        return True

    async def _answer_later(self, found: Elsewhere, question: Question, source: str, *, stream: bool, send: Send) -> None:
        message = await self._forwarder.ask(question, source)
        send(self._encoded(found, message, 0, stream=stream))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._later.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("a question was not answered", exc_info=error)

    @staticmethod
    def _asked(found: Elsewhere) -> Question:
        """What is asked elsewhere: the question itself, or where an alias leads."""
        if found.found is None:
            return found.query.question
        return Question(found.found.elsewhere, found.query.question.type, IN)

    def _encoded(self, found: Elsewhere, message: Message, age: int, *, stream: bool) -> bytes:
        query = found.query
        alias = found.found.answer.answers if found.found else ()
        answer = Answer(
            Rcode(message.code), [*alias, *_aged(message.answers, age)], _aged(message.authority, age), _aged(message.additional, age),
            authoritative=False,
        )
        self._metrics.counted(stream, query.question.type, message.code, cluster=False)
        encoded = encode(query, answer, MAX_MESSAGE if stream else query.limit)
        return encoded.message(query.id.to_bytes(2, "big"), query.question.wire, query.id)


def _aged(records: Iterable[Record], age: int) -> list[Record]:
    return [record._replace(ttl=max(record.ttl - age, 0)) for record in records] if age else list(records)
