"""What a webhook or an admission policy gets to see of a request: the objects in the version it asked for, and the request itself.

Where custom resources are converted by a webhook, webhooks of admission get what it answers; expressions, which cannot wait, see the
version of the request. The old object is always the stored one the write is computed from, again on every retry (CVE-2021-25735). What is seen is read-only;
changes come back through `take`.
Source: API reference, AdmissionRequest admission.k8s.io/v1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tiffin.apiserver.admission.attributes import AdmissionAttributes, replace_contents
from tiffin.apiserver.admission.matching import namespace_of_request
from tiffin.apiserver.registry import Registry, Served
from tiffin.apiserver.storedform import Convert
from tiffin.machinery import errors
from tiffin.machinery.decode import decode_object
from tiffin.machinery.field import invalid
from tiffin.machinery.object import Object, Resource, name_of
from tiffin.machinery.schema import Type, definition

_SCALE = "io.k8s.api.autoscaling.v1.Scale"
"""The only body that stands for an object in an update and can be changed."""


class KindName(NamedTuple):
    """Group, version and kind."""

    group: str
    version: str
    kind: str

    def __str__(self) -> str:
        return f"{f'{self.group}/' if self.group else ''}{self.version}, Kind={self.kind}"


class View(NamedTuple):
    """A request in one version. `served` is None where the object is no version of what is stored, such as the options of an exec."""

    resource: Resource
    kind: KindName
    served: Served | None
    obj: Object | None
    old: Object | None


def view(registry: Registry, a: AdmissionAttributes, resource: Resource, obj: Object | None, old: Object | None) -> View:
    """The request in the version of `resource`, which is served."""
    if a.sub is not None and a.sub.shown is not None and old is not None:
        kind = KindName(*(a.sub.body or ("", "", a.kind)))
        return View(resource, kind, None, a.sub.shown(obj) if obj is not None else None, a.sub.shown(old))
    if a.sub is not None and a.sub.body is not None and old is None:
        return View(resource, KindName(*a.sub.body), None, obj, None)
    served = registry.lookup(*resource) or registry.stored(a.group_resource)
    assert served is not None, resource
    return View(resource, KindName(resource.group, resource.version, a.kind), served, _in_version(served, obj), _in_version(served, old))


def _in_version(served: Served, obj: Object | None) -> Object | None:
    if obj is None:
        return None
    if served.form is not None and served.form.remote:
        return obj  # in the request's own version, until `converted` has asked
    shown = served.from_stored(obj)
    return {**shown, "kind": served.kind.kind, "apiVersion": served.api_version}


def type_of(seen: View) -> Type:
    """The type of the view's objects."""
    return seen.served.type if seen.served is not None else definition(_SCALE)


def decode(seen: View, obj: Object) -> None:
    """Brings what was made of a view's object into form, in place, as if a client had sent it. Raises DecodeError."""
    if seen.served is not None:
        seen.served.decode(obj)
    else:
        decode_object(obj, definition(_SCALE))


async def converted(a: AdmissionAttributes, seen: View) -> View:
    """The same with objects in the version of the view, where only a conversion webhook can bring them there."""
    convert = _conversion(a, seen)
    objects = [obj for obj in (seen.obj, seen.old) if obj is not None]
    if convert is None or not objects:
        return seen
    found = iter(await convert([{**obj, "kind": seen.kind.kind, "apiVersion": a.requested.api_version} for obj in objects], seen.resource.api_version))
    return seen._replace(obj=next(found) if seen.obj is not None else None, old=next(found) if seen.old is not None else None)


async def returned(a: AdmissionAttributes, seen: View, changed: Object) -> Object:
    """What was made of a converted view, in the request's own version."""
    convert = _conversion(a, seen)
    return changed if convert is None else (await convert([changed], a.requested.api_version))[0]


def _conversion(a: AdmissionAttributes, seen: View) -> Convert | None:
    form = seen.served.form if seen.served is not None else None
    return form.family.convert if form is not None and form.remote and seen.resource != a.requested else None


def take(a: AdmissionAttributes, seen: View, obj: Object, changed: Object) -> None:
    """Makes the request's object, in place, what a webhook or policy has made of its view."""
    if a.sub is not None and a.sub.taken is not None and seen.served is None:
        replace_contents(obj, a.sub.taken(obj, changed))
        return
    stored = seen.served.to_stored(changed) if seen.served else changed
    if seen.served:
        seen.served.kind.default(stored)
        if seen.served.form is not None:
            stored = {**stored, "apiVersion": a.requested.api_version}
    before = dict(obj.get("metadata") or {})
    _check_place(a, before, stored.get("metadata") or {}, seen.old is not None)
    replace_contents(obj, stored)
    obj.setdefault("metadata", {}).update({field: before[field] for field in _KEPT if field in before})


_KEPT = ("uid", "creationTimestamp", "resourceVersion", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")
"""What only the server says of an object."""


def _check_place(a: AdmissionAttributes, before: dict[str, Any], after: dict[str, Any], exists: bool) -> None:
    """Nobody moves an object to another namespace, or renames one that exists."""
    if (after.get("namespace") or "") != (before.get("namespace") or ""):
        raise errors.bad_request("the namespace of the provided object does not match the namespace sent on the request")
    if exists and after.get("name") != before.get("name"):
        immutable = invalid("metadata.name", after.get("name") or "", "field is immutable")
        raise errors.invalid(a.kind, a.resource.group, before.get("name") or "", [immutable])


def requested_kind(registry: Registry, a: AdmissionAttributes) -> KindName:
    """The kind of the object as the client sent it."""
    if a.sub is not None and a.sub.body is not None:
        return KindName(*a.sub.body)
    return KindName(a.requested.group, a.requested.version, a.kind)


def admission_request(registry: Registry, a: AdmissionAttributes, seen: View, obj: Object | None) -> dict[str, Any]:
    """The AdmissionRequest without its objects and its uid; empty fields are left out."""
    asked = requested_kind(registry, a)
    request = {
        "kind": seen.kind._asdict(),
        "resource": {"group": seen.resource.group, "version": seen.resource.version, "resource": seen.resource.plural},
        "subResource": a.subresource,
        "requestKind": asked._asdict(),
        "requestResource": {"group": a.requested.group, "version": a.requested.version, "resource": a.requested.plural},
        "requestSubResource": a.subresource,
        "name": name_in_request(a, obj),
        "namespace": namespace_of_request(a, obj),
        "operation": a.operation,
        "userInfo": a.user.info(),
    }
    return {key: value for key, value in request.items() if value} | {"dryRun": a.dry_run, "options": dict(a.options()) or None}


def name_in_request(a: AdmissionAttributes, obj: Object | None) -> str:
    """The name in the path, or for a create that of the object; a collection names none."""
    return "" if a.collection else a.name or name_of(obj or {})
