"""One priority level at work: seats taken, and requests that wait for theirs in queues.

Rules
* A request whose level has a free seat and nobody waiting goes on at once: two comparisons and an addition.
* The others wait in the shortest queue of the hand that their flow is dealt (shuffle sharding), so that one busy flow cannot
  fill every queue of another. The queue whose turn comes first by start-time fair queueing is served next.
* Who finds the queue full, waits too long, or meets a level that does not queue, is refused.
"""
from __future__ import annotations

import asyncio
import hashlib
import random
from collections import deque
from collections.abc import Callable, Sequence

from tiffin.apiserver.flowcontrol.sharing import Limits
from tiffin.machinery.object import Object, dig, name_of, uid_of

WAIT_SECONDS = 15.0
"""A quarter of the time a request may take."""
MOST_SEATS_OF_NOMINAL = 0.15


class Refused(Exception):
    """No seat; `reason` is concurrency-limit, queue-full or time-out."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Queue:
    __slots__ = ("next_start", "waiting")

    def __init__(self, start: float) -> None:
        self.waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self.next_start = start


class Level:
    """The seats and queues of one PriorityLevelConfiguration. `limit` is what it may hold at the moment."""

    def __init__(self, name: str, rebalance: Callable[[], None]) -> None:
        self.name, self.uid, self.exempt = name, "", False
        self.limits, self.limit = Limits(0, 0, 0), 0
        self.seats = self.executing = self.waiting = self.waiting_seats = 0
        self.refused: dict[tuple[str, str], int] = {}
        self._rebalance = rebalance
        self._queues: dict[int, _Queue] = {}
        self._number = self._hand = self._length = 0
        self._virtual = 0.0

    def configure(self, obj: Object, limits: Limits) -> None:
        """Takes over a new version of its object; requests under way are not disturbed."""
        queuing = dig(obj, "spec", "limited", "limitResponse", "queuing", default={})
        self.name, self.uid, self.exempt = name_of(obj), uid_of(obj), obj["spec"].get("type") == "Exempt"
        self.limits = limits
        self.limit = min(max(self.limit, limits.least), limits.most) if self.limit else limits.nominal
        self._number, self._hand, self._length = (queuing.get(k, 0) for k in ("queues", "handSize", "queueLengthLimit"))
        self.serve()

    @property
    def demand(self) -> int:
        return self.seats + self.waiting_seats

    def width(self, seats: int) -> int:
        """So many seats of those wished for as one request of this level may take."""
        return max(1, min(seats, round(self.limits.nominal * MOST_SEATS_OF_NOMINAL)))

    def enter(self, width: int) -> bool:
        """Takes seats if the request need not wait."""
        if self.exempt or (not self.waiting and self.seats + width <= self.limit):
            self.seats += width
            self.executing += 1
            return True
        return False

    def leave(self, width: int) -> None:
        self.seats -= width
        self.executing -= 1
        if self.waiting:
            self.serve()

    async def wait(self, schema: str, distinguisher: str, width: int) -> None:
        """Waits for seats, perhaps borrowed ones. Raises Refused."""
        self._rebalance()
        if self.enter(width):
            return
        if not self._number:
            self._refuse(schema, "concurrency-limit")
        queue = self._shortest(f"{schema}/{distinguisher}")
        if len(queue.waiting) >= self._length:
            self._refuse(schema, "queue-full")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = (turn, width)
        queue.waiting.append(place)
        self.waiting += 1
        self.waiting_seats += width
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await turn
        except TimeoutError:
            self._withdraw(queue, place)
            self._refuse(schema, "time-out")
        except BaseException:
            self._withdraw(queue, place)
            raise

    def _withdraw(self, queue: _Queue, place: tuple[asyncio.Future[None], int]) -> None:
        """Leaves the queue, or gives back the seats that came too late."""
        if place in queue.waiting:
            queue.waiting.remove(place)
            self.waiting -= 1
            self.waiting_seats -= place[1]
        elif not place[0].cancelled():
            self.leave(place[1])

    def _refuse(self, schema: str, reason: str) -> None:
        self.refused[schema, reason] = self.refused.get((schema, reason), 0) + 1
        raise Refused(reason)

    def serve(self) -> None:
        """Gives free seats to those whose turn it is."""
        while self.waiting:
            index = min((i for i, q in self._queues.items() if q.waiting), key=lambda i: self._queues[i].next_start)
            queue = self._queues[index]
            turn, width = queue.waiting[0]
            if self.seats and self.seats + width > self.limit:
                return
            queue.waiting.popleft()
            self.waiting -= 1
            self.waiting_seats -= width
            self._virtual = queue.next_start
            queue.next_start += width
            if not queue.waiting:
                del self._queues[index]
            if not turn.done():
                self.seats += width
                self.executing += 1
                turn.set_result(None)

    def _shortest(self, flow: str) -> _Queue:
        hand = deal(flow, self._number, self._hand)
        index = min(hand, key=lambda i: len(self._queues[i].waiting) if i in self._queues else 0)
        queue = self._queues.get(index)
        if queue is None:
            queue = self._queues[index] = _Queue(self._virtual)
        elif not queue.waiting:
            queue.next_start = max(queue.next_start, self._virtual)
        return queue


def deal(flow: str, queues: int, hand: int) -> Sequence[int]:
    """The queues a flow may wait in: always the same for the flow, and evenly spread over flows."""
    seed = int.from_bytes(hashlib.sha256(flow.encode()).digest()[:8])
    return random.Random(seed).sample(range(queues), min(hand, queues))
