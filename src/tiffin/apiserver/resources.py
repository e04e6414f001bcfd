"""Requests for resources: finding what serves the path, and carrying out the verb through the generic reads and writes.

A subresource that is another view of the object (`updates_object`) goes the generic way; every other has a handler, found by
its name. Resources that leave nothing behind have a handler by resource.
"""
from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from tiffin.api.kind import Subresource
from tiffin.apiserver import bodies, patches
from tiffin.apiserver.connecting import CONNECTING, connect_options
from tiffin.apiserver.context import BOOLEAN_TRUE, RequestContext, RequestInfo
from tiffin.apiserver.deletion import DeleteOptions
from tiffin.apiserver.health import PAGE_NOT_FOUND, text
from tiffin.apiserver.negotiate import COLLECTION, LISTED, Form, check_shape, negotiate
from tiffin.apiserver.options import read_options
from tiffin.apiserver.reads import Reads, key_in, list_options
from tiffin.apiserver.registry import Registry, Served
from tiffin.apiserver.render import Renderer, respond
from tiffin.apiserver.selection import Selection
from tiffin.apiserver.watch import Watches
from tiffin.apiserver.writes import Writes, Written, uid_conflict
from tiffin.client.client import PatchType
from tiffin.machinery import errors
from tiffin.machinery.managedfields import apply
from tiffin.machinery.object import Object
from tiffin.machinery.timestamps import format_time
from tiffin.net.http import Request, Response

READ_BY_PEOPLE = ("curl", "Wget", "Mozilla/5.0")
"""Clients who are answered with line breaks unless they say otherwise."""
VirtualHandler = Callable[[RequestContext, Served, Object], Awaitable[Object]]
"""Answers the create of a resource that is not stored."""
SubresourceHandler = Callable[[RequestContext, Served, Subresource, Request], Awaitable[Response]]


class Resources:
    """The verbs over everything in a registry."""

    def __init__(self, registry: Registry, reads: Reads, writes: Writes, watches: Watches) -> None:
        self.registry, self.reads, self.writes, self.watches = registry, reads, writes, watches
        self.virtual: dict[str, VirtualHandler] = {}
        self.subresources: dict[str, SubresourceHandler] = {}

    # finding what serves a path

    async def handle(self, context: RequestContext, request: Request) -> Response:
        info = context.info
        served = self.registry.lookup(*info.resource)
        if served is None:
            return self._unknown(context)
        kind = served.kind
        if kind.deprecation:
            context.warnings.append(kind.deprecation)
        if info.namespace and not kind.namespaced and not _is_own_namespace(info):
            return self._unknown(context)
        if request.method == "HEAD" and info.subresource != "proxy":
            raise errors.method_not_allowed()
        if info.subresource:
            return await self._subresource(context, served, request)
        if not info.verb or info.verb not in (*kind.verbs, "watch") or (info.deprecated_watch and "watch" not in kind.verbs):
            raise errors.path_not_found() if info.name and not kind.stored else errors.method_not_allowed()
        if (info.verb == "create") is bool(info.name) and info.verb not in ("list", "watch", "deletecollection"):
            raise errors.method_not_allowed()
        if served.custom and kind.namespaced and not info.namespace and info.verb not in ("list", "watch"):
            return self._unknown(context)
        if kind.namespaced and not info.namespace and info.verb not in ("list", "watch"):
            raise errors.path_not_found() if info.name else errors.method_not_allowed()
        verb: Callable[[RequestContext, Served, Request], Any] = getattr(self, f"_{info.verb}")
        response = verb(context, served, request)
        return response if isinstance(response, Response) else await response

    def _unknown(self, context: RequestContext) -> Response:
        if not self.registry.is_builtin_group(context.info.resource.group):
            return text(PAGE_NOT_FOUND, 404)
        raise errors.path_not_found()

    async def _subresource(self, context: RequestContext, served: Served, request: Request) -> Response:
        info = context.info
        sub = served.kind.subresource_by_name.get(info.subresource)
        if sub is None:
            raise errors.not_found(served.group_resource, info.name) if served.custom else errors.path_not_found()
        if (served.kind.namespaced and not info.namespace) or (info.rest and sub.name != "proxy"):
            raise errors.path_not_found()
        if info.verb not in sub.verbs:
            raise _unsupported(served, info) if served.custom else errors.method_not_allowed()
        if sub.updates_object:
            return await self._object_subresource(context, served, sub, request)
        handler = self.subresources.get(sub.name)
        if handler is None:
            raise errors.path_not_found()
        if sub.name in CONNECTING:
            await self.writes.admission.both(context, "CONNECT", served, sub, connect_options(context, sub))
        return await handler(context, served, sub, request)

    async def _object_subresource(self, context: RequestContext, served: Served, sub: Subresource, request: Request) -> Response:
        if context.info.verb == "get":
            response = self._get(context, served, request)
            return response if isinstance(response, Response) else await response
        if context.info.verb == "update":
            return await self._update(context, served, request, sub)
        return await self._patch(context, served, request, sub)

    # reading

    def _form(self, context: RequestContext, served: Served) -> Form:
        produced = "" if served.custom else COLLECTION if context.info.verb in ("list", "watch") else LISTED
        form = negotiate(context.headers.get("accept", ""), served.custom or served.owns_as_stored, produced)  # which have no protobuf form
        asked = context.query.text("pretty")
        pretty = asked in BOOLEAN_TRUE if asked else context.headers.get("user-agent", "").startswith(READ_BY_PEOPLE)
        return form._replace(pretty=True) if pretty else form

    def _get(self, context: RequestContext, served: Served, request: Request) -> Response | Awaitable[Response]:
        return self.reads.get(context, served, self._form(context, served))

    def _list(self, context: RequestContext, served: Served, request: Request) -> Response | Awaitable[Response]:
        return self.reads.list(context, served, self._form(context, served))

    def _watch(self, context: RequestContext, served: Served, request: Request) -> Response:
        if "watch" not in served.kind.verbs:
            raise errors.method_not_supported("watch", served.group_resource) if "list" in served.kind.verbs else errors.method_not_allowed()
        return self.watches.response(context, served, self._form(context, served))

    # writing

    async def _create(self, context: RequestContext, served: Served, request: Request) -> Response:
        form = self._form(context, served)
        check_shape(form, False)
        read_options(context, "CreateOptions")
        obj = bodies.read_object(context, served, request.body)
        obj = served.to_stored(obj)
        virtual = self.virtual.get(served.storage)
        if virtual is not None:
            return respond(served.from_stored(await virtual(context, served, obj)), form, 201)
        served.kind.default(obj)
        return self._written(context, served, await self.writes.create(context, served, obj, context.info.namespace), form)

    async def _update(self, context: RequestContext, served: Served, request: Request, sub: Subresource | None = None) -> Response:
        form = self._form(context, served)
        check_shape(form, False)
        read_options(context, "UpdateOptions")
        obj = bodies.read_object(context, served, request.body)
        metadata = obj.get("metadata") or {}
        name = metadata.get("name") or ""
        if not name:
            raise errors.bad_request(f"the name of the object ({context.info.name} based on URL) was undeterminable: name must be provided")
        if name != context.info.name:
            raise errors.bad_request(f"the name of the object ({name}) does not match the name on the URL ({context.info.name})")
        if served.kind.namespaced and (metadata.get("namespace") or context.info.namespace) != context.info.namespace:
            raise errors.bad_request("the namespace of the provided object does not match the namespace sent on the request")
        obj = served.to_stored(obj)
        served.kind.default(obj)
        written = await self._put(context, served, obj, sub)
        return self._written(context, served, written, form)

    async def _put(self, context: RequestContext, served: Served, obj: Object, sub: Subresource | None) -> Written:
        key = key_in(served, context)
        if served.kind.create_on_update and sub is None and self.writes.store.newest(served.storage, key) is None:
            uid = obj["metadata"].get("uid")
            if uid:
                raise uid_conflict(served, key, uid, "")
            return await self.writes.create(context, served, obj, context.info.namespace, key.name)
        data = orjson.dumps(obj)
        uid = obj["metadata"].get("uid")

        def transform(old: Object) -> Object:
            if uid and uid != old["metadata"].get("uid"):
                raise uid_conflict(served, key, uid, old["metadata"].get("uid") or "")
            return orjson.loads(data)  # type: ignore[no-any-return]

        return await self.writes.update(context, served, key, transform, subresource=sub)

    async def _patch(self, context: RequestContext, served: Served, request: Request, sub: Subresource | None = None) -> Response:
        kind = patches.patch_type(context, served)
        form = self._form(context, served)
        check_shape(form, False)
        read_options(context, "PatchOptions", kind is PatchType.APPLY)
        if kind is PatchType.APPLY:
            written = await self.apply(context, served, patches.parse_applied(context, request.body), sub)
        else:
            written = await self.patch(context, served, kind, request.body, sub)
        return self._written(context, served, written, form)

    async def patch(self, context: RequestContext, served: Served, kind: PatchType, body: bytes, sub: Subresource | None) -> Written:
        """Carries out a patch of one of the three kinds that change what is there."""
        change = patches.transform(context, served, kind, body)

        def transform(old: Object) -> Object:
            new = served.to_stored(change(old))
            served.kind.default(new)
            return new

        return await self.writes.update(context, served, key_in(served, context), transform, subresource=sub, attempts=patches.ATTEMPTS)

    async def apply(self, context: RequestContext, served: Served, applied: Object, sub: Subresource | None) -> Written:
        """Carries out a server-side apply; the object is created when it is not there."""
        key = key_in(served, context)
        patches.check_applied(context, served, applied)
        said = patches.as_owned(served, applied)

        def merged(live: Object | None) -> Object:
            base = served.from_stored(live) if live is not None and not served.owns_as_stored else live
            new = apply(
                base, said, served.owner_type, manager=context.field_manager, force=context.query.flag("force"), api_version=served.owner_version,
                subresource=sub.name if sub else "", now=format_time(context.now), reset_fields=patches.reset_fields(served, sub))
            if served.owns_as_stored:
                new = served.from_stored(new) if live is not None else patches.as_made(applied, new)
            bodies.decode_served(new, served)
            new = served.to_stored(new)
            served.kind.default(new)
            return new

        if self.writes.store.newest(served.storage, key) is None:
            if sub is not None:
                raise errors.not_found(served.group_resource, key.name)
            return await self.writes.create(context, served, merged(None), context.info.namespace, applied=True)
        return await self.writes.update(context, served, key, merged, subresource=sub, attempts=patches.ATTEMPTS, applied=True)

    def _written(self, context: RequestContext, served: Served, written: Written, form: Form) -> Response:
        renderer = Renderer(served, form, context.now, context.query.text("includeObject"))
        return renderer.entry_response(written.entry, 201 if written.created else 200)

    # deleting

    async def _delete(self, context: RequestContext, served: Served, request: Request) -> Response:
        form = self._form(context, served)
        options = DeleteOptions.from_object(bodies.read_delete_options(context, request.body))
        context.dry_run = options.dry_run
        if served.kind.delete_warning and not options.propagation and options.orphan_dependents is None:
            context.warnings.append(served.kind.delete_warning)
        obj, gone = await self.writes.delete(context, served, key_in(served, context), options)
        if gone and not served.kind.returns_deleted:
            return respond(self._success(served, obj), form._replace(kind="", version=""))
        status = 202 if not gone and options.orphan_dependents is False else 200
        obj = served.from_stored(obj)
        return Renderer(served, form._replace(kind="", version=""), context.now).object_response(obj, status)

    @staticmethod
    def _success(served: Served, obj: Object) -> Object:
        details = {"name": obj["metadata"]["name"], "group": served.resource.group, "kind": served.kind.plural, "uid": obj["metadata"].get("uid")}
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": {k: v for k, v in details.items() if v}}

    async def _deletecollection(self, context: RequestContext, served: Served, request: Request) -> Response:
        form = self._form(context, served)
        options = DeleteOptions.from_object(bodies.read_delete_options(context, request.body))
        context.dry_run = options.dry_run
        listed = list_options(context.query, self.reads.store.revision)
        selection = Selection(served, context.query)
        entries, metadata = self.reads.page(served, context.info.namespace, selection, listed)
        if served.form is not None:
            entries = await served.form.read(entries)
        for entry in entries:
            try:
                await self.writes.delete(context, served, entry.key, options)
            except errors.ApiError as error:
                if error.code != 404:
                    raise
        return Renderer(served, form._replace(kind="", version=""), context.now).list_response(entries, {"resourceVersion": metadata["resourceVersion"]})


def _unsupported(served: Served, info: RequestInfo) -> errors.ApiError:
    error = errors.method_not_allowed(f'{info.verb} is not supported on resources of kind "{served.group_resource}"')
    error.details = {"group": served.resource.group, "kind": served.kind.plural}
    return error


def _is_own_namespace(info: RequestInfo) -> bool:
    """A path of one namespace bears it as its namespace too. Below another one there are none, whatever rights one has there."""
    return info.resource[::2] == ("", "namespaces") and info.namespace == info.name
