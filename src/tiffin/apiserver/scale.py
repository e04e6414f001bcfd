"""The `scale` subresource of everything that has replicas: a small view of the object that autoscalers and kubectl use."""
from __future__ import annotations

from collections.abc import Callable

import orjson

from tiffin.api.autoscaling.scale import apply_scale, scale_of
from tiffin.api.kind import Kind, Subresource
from tiffin.apiserver import bodies, patches
from tiffin.apiserver.context import RequestContext
from tiffin.apiserver.negotiate import negotiate
from tiffin.apiserver.options import read_options
from tiffin.apiserver.registry import Served
from tiffin.apiserver.render import Renderer, respond
from tiffin.apiserver.writes import Writes
from tiffin.client.client import PatchType
from tiffin.machinery import errors
from tiffin.machinery.object import Key, Object
from tiffin.net.http import Request, Response

SCALE = ("autoscaling", "v1", "Scale")
SCHEMA = "io.k8s.api.autoscaling.v1.Scale"
SCALE_KIND = Kind("autoscaling", "v1", "Scale", "scales", SCHEMA)


class ScaleHandler:
    """Reads and writes scales through the objects they belong to."""

    def __init__(self, writes: Writes) -> None:
        self.writes = writes
        self.served = Served(SCALE_KIND, None)

    async def handle(self, context: RequestContext, served: Served, sub: Subresource, request: Request) -> Response:
        form = negotiate(context.headers.get("accept", ""))
        key = Key(context.info.namespace, context.info.name)
        if context.info.verb == "get":
            entry = self.writes.store.get(served.storage, key)
            if entry is None:
                raise errors.not_found(served.group_resource, key.name)
            return respond(Renderer(self.served, form, context.now).transform(scale_of(entry.object)), form)
        if context.info.verb == "update":
            change = self._put(context, request)
        else:
            change = self._patch(context, served, request)

        def scaled(old: Object) -> Object:
            new: Object = orjson.loads(orjson.dumps(old))
            new["metadata"].pop("resourceVersion", None)
            scale = change(scale_of(old))
            _check(scale, served, key, old)
            revision = scale["metadata"].get("resourceVersion")
            new = apply_scale(new, scale)
            if revision:
                new["metadata"]["resourceVersion"] = revision
            return new

        written = await self.writes.update(context, served, key, scaled, subresource=_scale_update(served.kind))
        return respond(scale_of(written.entry.object), form)

    @staticmethod
    def _put(context: RequestContext, request: Request) -> Callable[[Object], Object]:
        read_options(context, "UpdateOptions")
        given = bodies.read_typed(context, request.body, SCALE, SCHEMA)
        if (given.get("metadata") or {}).get("name") != context.info.name:
            name = (given.get("metadata") or {}).get("name") or ""
            raise errors.bad_request(
                f"the name of the object ({name}) does not match the name on the URL ({context.info.name})" if name else
                f"the name of the object ({context.info.name} based on URL) was undeterminable: name must be provided")
        return lambda old: given

    def _patch(self, context: RequestContext, served: Served, request: Request) -> Callable[[Object], Object]:
        kind = patches.patch_type(context, served)
        read_options(context, "PatchOptions", kind is PatchType.APPLY)
        if kind is PatchType.APPLY:
            applied = patches.parse_applied(context, request.body)
            return lambda old: {**old, "spec": applied.get("spec") or {}}
        return patches.transform(context, self.served, kind, request.body)


def _check(scale: Object, served: Served, key: Key, old: Object) -> None:
    from tiffin.machinery.field import invalid

    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if replicas < 0:
        raise errors.invalid("Scale", "autoscaling", key.name, [invalid("spec.replicas", replicas, "must be greater than or equal to 0")])
    uid = (scale.get("metadata") or {}).get("uid")
    if uid and uid != old["metadata"].get("uid"):
        raise errors.conflict(
            served.group_resource, key.name, f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old['metadata'].get('uid')}")


def _scale_update(kind: Kind) -> Subresource:
    """An update of the object under the name of the scale subresource: prepared and validated as an update of the object is."""
    return Subresource("scale", updates_object=True, prepare=kind.prepare_for_update, validate=kind.validate_update)
