"""The API server as one handler: the filter chain around resources, discovery and health.

Order: audit id → path → authenticate → impersonate → authorize → wait for a turn (`flowcontrol/`) → carry out. Nothing is answered
before authorization, not even that a path does not exist. An `ApiError` becomes its Status here and nowhere else; any other exception becomes a 500 that names
the audit id under which the log has the traceback.
"""
from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from tiffin.apiserver import metrics
from tiffin.apiserver.aggregation.forwarding import forward
from tiffin.apiserver.authn.authenticator import Authenticator
from tiffin.apiserver.authn.impersonation import Impersonation, wanted_user
from tiffin.apiserver.authn.tokens import Unready
from tiffin.apiserver.authz.attributes import Attributes, Decision, refusal
from tiffin.apiserver.compression import FROM as LARGE
from tiffin.apiserver.compression import compress
from tiffin.apiserver.context import Query, RequestContext, RequestInfo, request_info
from tiffin.apiserver.flowcontrol.control import FlowControl, seats_of_list
from tiffin.apiserver.flowcontrol.level import Refused
from tiffin.apiserver.health import text
from tiffin.apiserver.negotiate import PLAIN, Form, negotiate
from tiffin.apiserver.paths import Paths
from tiffin.apiserver.render import respond
from tiffin.apiserver.resources import Resources
from tiffin.apiserver.user import User
from tiffin.apiserver.warningheaders import warning_headers
from tiffin.machinery import errors
from tiffin.machinery.errors import ApiError
from tiffin.machinery.selectors import SelectorError, parse_field_selector
from tiffin.net.http import Request, Response

logger = logging.getLogger(__name__)
access = logging.getLogger("tiffin.access")

LONG_RUNNING = frozenset(("exec", "attach", "portforward", "proxy", "log"))
WRITE_TIMEOUT = 60.0
MUTATING = frozenset(("create", "update", "patch", "delete", "deletecollection"))

if TYPE_CHECKING:
    from tiffin.apiserver.aggregation.aggregator import Aggregator
    from tiffin.apiserver.audit.auditor import Auditor

Authorize = Callable[[Attributes], Decision]


class ApiServer:
    """Answers requests. `handle` is the handler of the HTTP server and of the in-process client."""

    def __init__(
        self, resources: Resources, paths: Paths, aggregator: Aggregator, authenticator: Authenticator, authorize: Authorize,
        auditor: Auditor | None, log_requests: bool = False,
    ) -> None:
        """Without an `auditor` nothing is noted in an audit log."""
        self.resources, self.paths = resources, paths
        self.aggregator, self.auditor = aggregator, auditor
        self.flows = FlowControl()
        paths.collectors.append(self.flows)
        self.authenticator, self.authorize = authenticator, authorize
        self.impersonation = Impersonation(authorize)
        self.log_requests = log_requests
        self._prefix = os.urandom(6).hex()
        self._numbers = itertools.count(1)

    def new_audit_id(self) -> str:
        """Unique among all requests of all servers: a random start of this process and a running number, as a UUID."""
        number = next(self._numbers)
        return f"{self._prefix[:8]}-{self._prefix[8:]}-4{number >> 52 & 0xFFF:03x}-8{number >> 40 & 0xFFF:03x}-{number & 0xFFFFFFFFFF:012x}"

    async def handle(self, request: Request) -> Response:
        started = time.perf_counter()
        path, _, query = request.target.partition("?")
        context = RequestContext(RequestInfo(request.method.lower(), path), Query.parse(query), request.headers, peer=request.peer)
        context.audit_id = self.new_audit_id()
        failed = False
        try:
            response = await self._authorized(context, request)
        except ApiError as error:
            response = self._error(context, error)
        except TimeoutError:
            response = self._error(context, errors.timeout("request did not complete within the allotted timeout"))
        except Exception:
            failed = True
            logger.exception("request %s failed: %s %s", context.audit_id, request.method, path)
            response = self._error(context, errors.internal_error(f"this is a fault of the server; its log has the cause under {context.audit_id}"))
        if len(response.body) >= LARGE:
            await compress(request, response)
        self._finish(context, request, response, time.perf_counter() - started)
        if context.audit is not None and self.auditor is not None:
            self.auditor.end(context.audit, response, failed)
        return response

    async def _authorized(self, context: RequestContext, request: Request) -> Response:
        try:
            context.user = self._authenticated(context, request)
        except Unready as unready:
            await unready.wait()
            context.user = self._authenticated(context, request)
        context.info = request_info(request.method, request.raw_path, context.query)
        attributes = self._attributes(context)
        if self.auditor is not None:
            context.audit = self.auditor.begin(context, request, attributes)
        wanted = wanted_user(request.headers)
        if wanted is not None:
            attributes = replace(attributes, user=self.impersonation.impersonate(wanted, attributes))
            context.user = attributes.user
        decision = self.authorize(attributes)
        if context.audit is not None:
            context.audit.decided(decision, attributes.user)
        if not decision.allowed:
            raise refusal(attributes, decision.reason)
        if attributes.is_resource and attributes.subresource in LONG_RUNNING:
            return await self._carry_out(context, request)
        return await self._in_turn(context, attributes, request)

    def _authenticated(self, context: RequestContext, request: Request) -> User:
        try:
            user = self.authenticator.authenticate(request)
            if user is None:
                raise errors.unauthorized()
        except ApiError as error:
            if self.auditor is not None:
                self.auditor.refused(context, request, error)
            raise
        return user

    async def _in_turn(self, context: RequestContext, attributes: Attributes, request: Request) -> Response:
        """Carries the request out once its priority level has a seat for it. A watch holds its seat only until it has begun."""
        flow = context.flow = self.flows.flow(attributes)
        level = flow.level
        width = level.width(self._seats(context)) if context.info.verb == "list" else 1
        if not level.enter(width):
            try:
                await flow.wait(width)
            except Refused:
                busy = text("Too many requests, please try again later.\n", 429)
                busy.headers["Retry-After"] = "1"
                return busy
        try:
            return await self._carry_out(context, request)
        finally:
            level.leave(width)

    def _seats(self, context: RequestContext) -> int:
        served = self.resources.registry.lookup(*context.info.resource)
        if served is None:
            return 1
        limit = context.query.text("limit") if context.query.values else ""
        return seats_of_list(self.resources.reads.store.index.count(served.storage), int(limit) if limit.isdecimal() and len(limit) < 9 else 0)

    async def _carry_out(self, context: RequestContext, request: Request) -> Response:
        if self.aggregator.remotes:
            remote = self.aggregator.find(context.info)
            if remote is not None:
                return await forward(remote, context, request)
        if not context.info.is_resource:
            return await self.paths.handle(context, request)
        if context.info.verb not in MUTATING or context.info.subresource in LONG_RUNNING:
            return await self.resources.handle(context, request)
        async with asyncio.timeout(WRITE_TIMEOUT):
            return await self.resources.handle(context, request)

    @staticmethod
    def _attributes(context: RequestContext) -> Attributes:
        info, query = context.info, context.query
        if not info.is_resource:
            return Attributes(context.user, info.verb, path=info.path, is_resource=False)
        name = info.name
        fields = query.text("fieldSelector") if query.values else ""
        if not name and fields and info.verb in ("list", "watch"):
            try:
                name = next((v for field, op, v in parse_field_selector(fields) if field == "metadata.name" and op != "!="), "")
            except SelectorError:
                name = ""
        labels = query.text("labelSelector") if query.values else ""
        group, version, plural = info.resource
        return Attributes(
            context.user, info.verb, group, version, plural, info.subresource, info.namespace, name, info.path, True, fields, labels)

    def _error(self, context: RequestContext, error: ApiError) -> Response:
        response = respond(error.status(), self._error_form(context), error.code)
        if error.headers:
            response.headers |= error.headers
        return response

    @staticmethod
    def _error_form(context: RequestContext) -> Form:
        """Errors come in the media type asked for, never as a Table; whoever asks for something unknown gets JSON."""
        try:
            form = negotiate(context.headers.get("accept", ""))
        except ApiError:
            return PLAIN
        return Form(form.media_type)

    def _finish(self, context: RequestContext, request: Request, response: Response, seconds: float) -> None:
        headers = response.headers
        headers["Audit-Id"] = context.audit_id
        headers.setdefault("Cache-Control", "no-cache, private")
        if context.flow is not None:
            headers["X-Kubernetes-Pf-Flowschema-Uid"] = context.flow.schema.uid
            headers["X-Kubernetes-Pf-Prioritylevel-Uid"] = context.flow.level.uid
        if context.warnings:
            response.repeated_headers += warning_headers(context.warnings)
        info = context.info
        known = info.is_resource and self.resources.registry.lookup(*info.resource) is not None
        long_running = response.stream is not None or response.upgrade is not None
        metrics.count(info.verb, info.resource.plural if known else "", response.status, seconds, long_running)
        if self.log_requests:
            access.info(
                "%s %s %d %.1fms user=%s audit=%s", _one_line(request.method), _one_line(request.raw_path), response.status, seconds * 1000,
                _one_line(context.user.name), context.audit_id)


def _one_line(text: str) -> str:
    """As it stands in a log: what others chose, such as the name an issuer of tokens gave, makes no lines of its own there."""
    return text if text.isprintable() else ascii(text)
