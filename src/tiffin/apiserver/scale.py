"""The `scale` subresource of everything that has replicas: a small view of the object that autoscalers and kubectl use."""
from __future__ import annotations

from collections.abc import Callable

import orjson

from tiffin.api.apiextensions.scalepaths import PathProblem
from tiffin.api.autoscaling.scale import COLUMNS, apply_scale, scale_of, scale_row
from tiffin.api.kind import Kind, Subresource
from tiffin.apiserver import bodies, patches
from tiffin.apiserver.context import RequestContext
from tiffin.apiserver.negotiate import negotiate
from tiffin.apiserver.options import read_options
from tiffin.apiserver.registry import Served
from tiffin.apiserver.render import Renderer, respond
from tiffin.apiserver.writes import Writes, uid_conflict
from tiffin.client.client import PatchType
from tiffin.machinery import errors
from tiffin.machinery.field import invalid
from tiffin.machinery.managedfields import apply, parent_entries, scale_entries, update_managers
from tiffin.machinery.object import Key, Object
from tiffin.machinery.timestamps import format_time
from tiffin.net.http import Request, Response

SCALE = ("autoscaling", "v1", "Scale")
SCHEMA = "io.k8s.api.autoscaling.v1.Scale"
SCALE_KIND = Kind("autoscaling", "v1", "Scale", "scales", SCHEMA, columns=COLUMNS, row=scale_row)


class ScaleHandler:
    """Reads and writes scales through the objects they belong to."""

    def __init__(self, writes: Writes) -> None:
        self.writes = writes
        self._served: dict[str, Served] = {}

    def _scales(self, sub: Subresource) -> Served:
        """The Scale as the subresource speaks it."""
        version = sub.body_version
        name = version.schema if version is not None else SCHEMA
        if name not in self._served:
            self._served[name] = Served(SCALE_KIND, version)
        return self._served[name]

    async def handle(self, context: RequestContext, served: Served, sub: Subresource, request: Request) -> Response:
        form, scales = negotiate(context.headers.get("accept", "")), self._scales(sub)
        key = Key(context.info.namespace, context.info.name)
        if context.info.verb == "get":
            entry = self.writes.store.get(served.storage, key)
            if entry is None:
                raise errors.not_found(served.group_resource, key.name)
            if served.form is not None:
                entry = await served.form.read_one(entry)
            return respond(Renderer(scales, form, context.now).transform(scales.from_stored(_shown(sub, entry.object))), form)
        applies = context.info.verb == "patch" and patches.patch_type(context, served) is PatchType.APPLY
        change = self._put(context, scales, request) if context.info.verb == "update" else self._patch(context, served, scales, request)

        def scaled(old: Object) -> Object:
            before = _shown(sub, old)
            before["metadata"]["managedFields"] = scale_entries(old["metadata"].get("managedFields") or [], sub.replicas)
            scale = change(before)
            _check(scale, served, key, old)
            if not applies:
                update_managers(
                    scale, before, scales.owner_type, manager=context.manager, api_version="autoscaling/v1", subresource="scale", now=format_time(context.now))
            return _scaled(old, scale, served, sub)

        written = await self.writes.update(context, served, key, scaled, subresource=_scale_update(served.kind, sub), applied=True)
        return respond(scales.from_stored(_shown(sub, written.entry.object)), form)

    @staticmethod
    def _put(context: RequestContext, scales: Served, request: Request) -> Callable[[Object], Object]:
        read_options(context, "UpdateOptions")
        given = bodies.read_typed(context, request.body, (scales.resource.group, scales.resource.version, "Scale"), scales.schema)
        data = orjson.dumps(scales.to_stored(given))
        return lambda before: orjson.loads(data)  # type: ignore[no-any-return]

    @staticmethod
    def _patch(context: RequestContext, served: Served, scales: Served, request: Request) -> Callable[[Object], Object]:
        kind = patches.patch_type(context, served)
        read_options(context, "PatchOptions", kind is PatchType.APPLY)
        if kind is not PatchType.APPLY:
            change = patches.transform(context, scales, kind, request.body)
            return lambda before: scales.to_stored(change(before))
        applied = patches.parse_applied(context, request.body)
        patches.check_applied(context, scales, applied)
        said = patches.as_owned(scales, applied)

        def apply_to(before: Object) -> Object:
            result = apply(
                before, said, scales.owner_type, manager=context.field_manager, force=context.query.flag("force"), api_version="autoscaling/v1",
                subresource="scale", now=format_time(context.now), reset_fields=(("status",),))
            bodies.decode_typed(result, scales.owner_type, "Scale", "v1")
            return result

        return apply_to


def _shown(sub: Subresource, obj: Object) -> Object:
    """The Scale of an object; 500 for a custom resource whose replicas are not where its definition says."""
    try:
        return (sub.shown or scale_of)(obj)
    except PathProblem as problem:
        raise errors.internal_error(str(problem)) from None


def _scaled(old: Object, scale: Object, served: Served, sub: Subresource) -> Object:
    """The object with the replicas of a Scale, and its field owners with those of the Scale."""
    new: Object = (sub.taken or apply_scale)(orjson.loads(orjson.dumps(old)), scale)
    owners = parent_entries(old["metadata"].get("managedFields") or [], scale["metadata"].get("managedFields") or [], sub.replicas, served.owner_version)
    new["metadata"]["managedFields"] = owners
    new["metadata"]["resourceVersion"] = scale["metadata"].get("resourceVersion") or ""
    return new


def _check(scale: Object, served: Served, key: Key, old: Object) -> None:
    given = (scale.get("metadata") or {}).get("name") or ""
    if given != key.name:
        raise errors.bad_request(
            f"the name of the object ({given}) does not match the name on the URL ({key.name})" if given else
            f"the name of the object ({key.name} based on URL) was undeterminable: name must be provided")
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if replicas < 0 and not served.custom:  # a custom resource says itself that this is wrong
        raise errors.invalid("Scale", "autoscaling", key.name, [invalid("spec.replicas", replicas, "must be greater than or equal to 0")])
    uid = (scale.get("metadata") or {}).get("uid")
    if uid and uid != old["metadata"].get("uid"):
        raise uid_conflict(served, key, uid, old["metadata"].get("uid") or "")


def _scale_update(kind: Kind, sub: Subresource) -> Subresource:
    """An update of the object under the name of the scale subresource: prepared and validated as an update of the object is."""
    return Subresource(
        "scale", updates_object=True, prepare=kind.prepare_for_update, validate=kind.validate_update, body=SCALE, shown=sub.shown or scale_of,
        taken=sub.taken or apply_scale)
