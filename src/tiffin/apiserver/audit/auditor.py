"""Noting requests: the events of each, from its arrival to the end of its answer.

Without a policy there is no auditor, and a request pays for one comparison. Requests of the server's own controllers and scheduler
are noted as well, though they come by no network (`AuditedClient`).
"""
from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from tiffin.apiserver.audit.event import METADATA, REQUEST, RESPONSE, Record
from tiffin.apiserver.audit.log import Sink
from tiffin.apiserver.audit.policy import Policy
from tiffin.apiserver.authz.attributes import Attributes
from tiffin.apiserver.context import RequestContext
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object
from tiffin.net.http import Request, Response

JSON_LIKE = ("application/json", "+json")
PROTOBUF = "application/vnd.kubernetes.protobuf"


class Auditor:
    """Notes requests as a policy says."""

    def __init__(self, policy: Policy, sink: Sink) -> None:
        self._policy, self._sink = policy, sink

    def begin(self, context: RequestContext, request: Request, action: Attributes) -> Record | None:
        """Notes the arrival of an authenticated request; None where the policy does not want it."""
        record = self.record(action, context.audit_id, context.now)
        if record is None:
            return None
        record.uri, record.agent, record.source = request.target, request.headers.get("user-agent", ""), request.peer
        if request.body and (record.choice.level >= REQUEST or action.verb in ("create", "update")):
            record.take(decoded(request.headers.get("content-type", ""), request.body))
        self.note(record, "RequestReceived")
        return record

    def record(self, action: Attributes, audit_id: str, now: datetime) -> Record | None:
        choice = self._policy.choose(action)
        return Record(choice, action, audit_id, action.path, "", "", now, action.user) if choice.level >= METADATA else None

    def note(self, record: Record, stage: str, status: Object | None = None, response: Any = None) -> None:
        event = record.event(stage, datetime.now(UTC), status, response)
        if event is not None:
            self._sink.write(event)

    def end(self, record: Record, response: Response, failed: bool) -> None:
        """Notes the answer: at once, or when its stream has ended."""
        status: Object = {"metadata": {}, "code": response.status}
        if response.stream is None and response.upgrade is None:
            obj = decoded(response.headers.get("Content-Type", ""), response.body) if response.body else None
            if isinstance(obj, dict) and obj.get("kind") == "Status":
                status = {k: v for k, v in obj.items() if k in ("metadata", "status", "message", "reason", "details", "code")}
            self.note(record, "Panic" if failed else "ResponseComplete", status, obj if record.choice.level >= RESPONSE else None)
            return
        self.note(record, "ResponseStarted", status)
        if response.stream is not None:
            response.stream = self._until_end(record, status, response.stream)
        if response.upgrade is not None:
            response.upgrade = self._until_end(record, status, response.upgrade)

    def _until_end(self, record: Record, status: Object, run: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
        async def noted(peer: Any) -> None:
            try:
                await run(peer)
            finally:
                self.note(record, "ResponseComplete", status)

        return noted

    def refused(self, context: RequestContext, request: Request, error: ApiError) -> None:
        """Notes a request whose credentials were no good."""
        action = Attributes(context.user, request.method.lower(), path=request.raw_path, is_resource=False)
        record = self.record(action, context.audit_id, context.now)
        if record is not None:
            record.uri, record.agent, record.source = request.raw_path, request.headers.get("user-agent", ""), request.peer
            status = {"metadata": {}, "status": "Failure", "message": "Authentication failed", "reason": "Unauthorized", "code": error.code}
            self.note(record, "ResponseStarted", status)

    async def close(self) -> None:
        await self._sink.close()


def decoded(content_type: str, body: bytes) -> Any:
    """A body as an object; None for what is none."""
    media_type = content_type.partition(";")[0].strip().lower()
    try:
        if not media_type or media_type.endswith(JSON_LIKE):
            return orjson.loads(body)
        if media_type == PROTOBUF:
            from tiffin.machinery.protodecode import parse_protobuf

            return parse_protobuf(body)
        if media_type.endswith("yaml"):
            from tiffin.machinery.yamlcodec import parse_yaml

            return parse_yaml(body)[0]
    except ValueError:
        return None
    return None
