"""GET and LIST: from memory, with resourceVersion semantics, paging and selectors.

Source: API concepts, "Resource versions" and "Retrieving large results sets in chunks".
"""
from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import orjson

from tiffin.apiserver.context import Query, RequestContext
from tiffin.apiserver.negotiate import Form, check_shape
from tiffin.apiserver.registry import Served
from tiffin.apiserver.render import Renderer
from tiffin.apiserver.selection import Selection
from tiffin.apiserver.storedform import StoredForm
from tiffin.machinery import errors
from tiffin.machinery.field import FieldError, forbidden, not_supported
from tiffin.machinery.object import Key, Object
from tiffin.net.http import Response
from tiffin.store.mvcc import Compacted, Entry, FutureRevision, Page
from tiffin.store.store import Store

MATCH = "resourceVersionMatch"
TOO_OLD = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter."


class ListOptions(NamedTuple):
    """The checked options of a list."""

    limit: int
    revision: int
    """Exact revision to read at, 0 for now."""
    after: Key | None


def parse_revision(text: str, code: int = 400) -> int:
    """A resourceVersion parameter; what is no number is a 400 for lists and a 500 for single objects and watches."""
    if not text:
        return 0
    if not text.isascii() or not text.isdecimal():
        message = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise errors.bad_request(message) if code == 400 else errors.ApiError(500, "", message)
    return int(text)


def match_violations(query: Query, watch: bool) -> list[FieldError]:
    """What resourceVersionMatch and sendInitialEvents may not be together with."""
    match, revision, initial = query.text(MATCH), query.text("resourceVersion"), query.values.get("sendInitialEvents")
    found: list[FieldError] = []
    if watch:
        if initial is not None and match != "NotOlderThan":
            found.append(forbidden(MATCH, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
        if match:
            if initial is None:
                found.append(forbidden(MATCH, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"))
            if match != "NotOlderThan":
                found.append(not_supported(MATCH, match, ["NotOlderThan"]))
            if query.text("continue"):
                found.append(forbidden(MATCH, "resourceVersionMatch is forbidden when continue is provided"))
        return found
    if match:
        if not revision:
            found.append(forbidden(MATCH, "resourceVersionMatch is forbidden unless resourceVersion is provided"))
        if query.text("continue"):
            found.append(forbidden(MATCH, "resourceVersionMatch is forbidden when continue is provided"))
        if match not in ("Exact", "NotOlderThan"):
            found.append(not_supported(MATCH, match, ["Exact", "NotOlderThan", ""]))
        elif match == "Exact" and revision == "0":
            found.append(forbidden(MATCH, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    if initial is not None:
        found.append(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return found


def check_match(query: Query, watch: bool) -> None:
    found = match_violations(query, watch) if MATCH in query.values or "sendInitialEvents" in query.values else []
    if found:
        raise errors.invalid("ListOptions", "meta.k8s.io", "", found)


def list_options(query: Query, current: int) -> ListOptions:
    """Reads the options of a list; raises 400 or 422 as Kubernetes does."""
    check_match(query, False)
    limit = max(query.number("limit") or 0, 0)
    query.number("timeoutSeconds")
    token, text = query.text("continue"), query.text("resourceVersion")
    revision = parse_revision(text)
    if token:
        if revision:
            raise errors.bad_request("specifying resource version is not allowed when using continue")
        return ListOptions(limit, *_decode_token(token))
    if revision > current:
        raise _future(revision, current)
    exact = query.text(MATCH) == "Exact" or (limit and revision and query.text(MATCH) != "NotOlderThan")
    return ListOptions(limit, revision if exact else 0, None)


def _future(revision: int, current: int) -> errors.ApiError:
    error = errors.ApiError(504, "Timeout", f"Too large resource version: {revision}, current: {current}", {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}], "retryAfterSeconds": 1})
    error.headers = {"Retry-After": "1"}
    return error


def _encode_token(revision: int, key: Key) -> str:
    text = orjson.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": f"{key.namespace}/{key.name}"})
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def _decode_token(token: str) -> tuple[int, Key]:
    try:
        data = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        namespace, _, name = data["start"].partition("/")
        revision = data["rv"]
        if data["v"] != "meta.k8s.io/v1" or not isinstance(revision, int) or revision <= 0 or not name:
            raise ValueError("incorrect fields")
        return revision, Key(namespace, name)
    except (binascii.Error, ValueError, KeyError, TypeError, AttributeError, UnicodeError) as error:
        raise errors.bad_request(f"continue key is not valid: {error}") from None


def key_in(served: Served, context: RequestContext) -> Key:
    """The key a path means; the namespace in the path of a Namespace is its name."""
    return Key(context.info.namespace if served.kind.namespaced else "", context.info.name)


class Reads:
    """The reading half of the API over one store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def entry(self, served: Served, key: Key) -> Entry:
        """The visible entry, or 404."""
        entry = self.store.get(served.storage, key)
        if entry is None:
            raise errors.not_found(served.group_resource, key.name)
        return entry

    def get(self, context: RequestContext, served: Served, form: Form) -> Response | Awaitable[Response]:
        revision = parse_revision(context.query.text("resourceVersion"), 500)
        if revision > self.store.revision:
            raise _future(revision, self.store.revision)
        renderer = Renderer(served, form, context.now, context.query.text("includeObject"))
        entry = self.entry(served, key_in(served, context))
        check_shape(form, False)
        if served.form is not None and not served.form.exact(entry):
            return self._converted(served.form, [entry], lambda entries: renderer.entry_response(entries[0]))
        return renderer.entry_response(entry)

    def list(self, context: RequestContext, served: Served, form: Form) -> Response | Awaitable[Response]:
        query = context.query
        options = list_options(query, self.store.revision)
        selection = Selection(served, query)
        check_shape(form, True)
        renderer = Renderer(served, form, context.now, query.text("includeObject"))
        entries, metadata = self.page(served, context.info.namespace, selection, options)
        if served.form is not None and not all(map(served.form.exact, entries)):
            return self._converted(served.form, entries, lambda read: renderer.list_response(read, metadata))
        return renderer.list_response(entries, metadata)

    @staticmethod
    async def _converted(form: StoredForm, entries: Sequence[Entry], respond: Callable[[Sequence[Entry]], Response]) -> Response:
        """The answer with entries in the version asked for, where some are stored otherwise."""
        return respond(await form.read(entries))

    def page(self, served: Served, namespace: str, selection: Selection, options: ListOptions) -> tuple[Sequence[Entry], Object]:
        """The entries of one page and the list's metadata."""
        if selection.name and not options.revision and (namespace or not served.kind.namespaced):
            entry = self.store.get(served.storage, Key(namespace, selection.name))
            return selection.select([entry] if entry else []), {"resourceVersion": str(self.store.revision)}
        scope = namespace if served.kind.namespaced and namespace else None
        if selection.matches is None:
            page = self._read(served, scope, options.after, options.limit, options)
            return page.entries, self._metadata(page, page.entries, page.remaining, True)
        return self._selected_page(served, scope, selection, options)

    def _selected_page(self, served: Served, scope: str | None, selection: Selection, options: ListOptions) -> tuple[Sequence[Entry], Object]:
        """With a selector the page is filled up from as many keys as it takes; what remains is not counted."""
        chosen: list[Entry] = []
        after, limit = options.after, options.limit
        while True:
            page = self._read(served, scope, after, max(limit * 4, 500) if limit else 0, options)
            for index, entry in enumerate(page.entries):
                if selection.matches is None or selection.matches(entry.object):
                    chosen.append(entry)
                if limit and len(chosen) == limit:
                    remaining = page.remaining + len(page.entries) - index - 1
                    return chosen, self._metadata(page, [entry], remaining, False)
            if not page.remaining:
                return chosen, self._metadata(page, [], 0, False)
            after = page.entries[-1].key

    def _read(self, served: Served, scope: str | None, after: Key | None, limit: int, options: ListOptions) -> Page:
        try:
            return self.store.list(served.storage, scope, after, limit, options.revision)
        except Compacted as error:
            if options.after is not None:
                raise errors.expired(TOO_OLD) from None
            raise errors.expired(f"The resourceVersion for the provided list is too old ({error.requested}, oldest {error.revision})") from None
        except FutureRevision as error:
            raise _future(error.requested, error.current) from None

    @staticmethod
    def _metadata(page: Page, entries: Sequence[Entry], remaining: int, counted: bool) -> Object:
        metadata: Object = {"resourceVersion": str(page.revision)}
        if remaining and entries:
            metadata["continue"] = _encode_token(page.revision, entries[-1].key)
            if counted:
                metadata["remainingItemCount"] = remaining
        return metadata
