"""Create, update, patch, apply and delete: one generic path for every kind.

Rules
* A request's object goes through: defaults (done when it was decoded) → mutating admission → managed fields → the Kind's
  prepare hook → validation → validating admission → commit. A failure at any step changes nothing.
* An update is computed from the newest version and committed against it; if another write came between, it is computed
  again, unless the client named the version it means: then it is a conflict.
* An update that changes nothing writes nothing.
* Objects handed in belong to this request and are changed in place; objects from the store are never touched.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from tiffin.api.kind import Context, Kind, Subresource
from tiffin.apiserver.admission.chain import Admission
from tiffin.apiserver.context import RequestContext
from tiffin.apiserver.deletion import DeleteOptions, Deletion, check_preconditions, decide
from tiffin.apiserver.ordering import ordered
from tiffin.apiserver.registry import Served
from tiffin.machinery import errors
from tiffin.machinery.field import FieldError
from tiffin.machinery.managedfields import update_managers
from tiffin.machinery.object import Key, Object
from tiffin.machinery.timestamps import format_time
from tiffin.machinery.validation import take_over_metadata, validate_common_update, validate_object_meta, validate_object_meta_update
from tiffin.store.mvcc import Entry
from tiffin.store.store import MUST_NOT_EXIST, Mismatch, Store, Write

SYSTEM_FIELDS = ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")
SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
GENERATED_ATTEMPTS = 8
PATCH_ATTEMPTS = 5

Transform = Callable[[Object], Object]
"""Computes the wanted object, in the stored version, from the newest one (read-only)."""


class Hook(Protocol):
    """State beyond the object itself that a resource needs on writes, such as the addresses of Services."""

    def before_create(self, obj: Object, dry_run: bool) -> Callable[[], None]:
        """Completes the object; the answer releases what the request holds, and is called when it is committed or has failed."""
        ...

    def before_update(self, new: Object, old: Object, dry_run: bool) -> Callable[[], None]: ...

    def companions(self, new: Object | None, old: Object | None) -> Sequence[Write]:
        """Writes of other objects to be committed together with a create (`old` is None), an update, or a deletion (`new` is None)."""
        ...


@dataclass(slots=True)
class Written:
    """The result of a write: the entry (revision 0 for a dry run) and whether it is new."""

    entry: Entry
    created: bool = False


def random_suffix() -> str:
    """Five letters without vowels, as in generated names."""
    return "".join(SUFFIX_LETTERS[byte % len(SUFFIX_LETTERS)] for byte in os.urandom(5))


def new_uid() -> str:
    """A random (version 4) UUID."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def uid_conflict(served: Served, key: Key, wanted: str, found: str) -> errors.ApiError:
    """409 of a write that means another object of the same name; the words are those of the reference's storage."""
    where = "/".join(part for part in ("/registry", served.kind.plural, key.namespace, key.name) if part)
    return errors.conflict(served.group_resource, key.name, (
        f"StorageError: invalid object, Code: 4, Key: {where}, ResourceVersion: 0, AdditionalErrorMsg: "
        f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"))


def _all_metadata(kind: Kind, metadata: dict[str, Any]) -> list[FieldError]:
    return validate_object_meta(
        metadata, namespaced=kind.namespaced, name_validator=kind.validate_name, any_finalizers=kind.any_finalizers)


class Writes:
    """The writing half of the API over one store."""

    def __init__(self, store: Store, admission: Admission, hooks: dict[str, Hook]) -> None:
        self.store, self.admission, self.hooks = store, admission, hooks

    # creating

    async def create(
        self, context: RequestContext, served: Served, obj: Object, namespace: str, name: str = "", applied: bool = False,
    ) -> Written:
        """Creates `obj` (stored version, defaults applied). `name` is that of the path, for an update that creates."""
        kind = served.kind
        if served.terminating:
            raise errors.method_not_allowed("create not allowed while custom resource definition is terminating")
        metadata = self._own_metadata(served, obj, namespace)
        revision = metadata.pop("resourceVersion", "")
        if revision.isdecimal() and int(revision) and not name:
            raise errors.ApiError(500, "", "resourceVersion should not be set on objects to be created")
        for field in SYSTEM_FIELDS:
            metadata.pop(field, None)
        metadata["uid"] = new_uid()
        metadata["creationTimestamp"] = format_time(context.now)
        await self.admission.admit(context, "CREATE", served, obj, None)
        if not applied:
            update_managers(
                obj, None, served.owner_type, manager=context.manager, api_version=served.owner_version, subresource="", now=metadata["creationTimestamp"])
        generated = not metadata.get("name") and bool(metadata.get("generateName"))
        for attempt in range(GENERATED_ATTEMPTS):
            if generated:
                metadata["name"] = metadata["generateName"][:58] + random_suffix()
            try:
                return await self._create_named(context, served, kind, obj)
            except errors.ApiError as error:
                if not generated or error.reason != "AlreadyExists" or attempt == GENERATED_ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _own_metadata(self, served: Served, obj: Object, namespace: str) -> dict[str, Any]:
        metadata = obj.get("metadata")
        if metadata is None:
            metadata = obj["metadata"] = {}
        if not served.kind.namespaced:
            metadata.pop("namespace", None)
        elif (metadata.get("namespace") or namespace) != namespace:
            raise errors.bad_request("the namespace of the provided object does not match the namespace sent on the request")
        else:
            metadata["namespace"] = namespace
        return metadata

    async def _create_named(self, context: RequestContext, served: Served, kind: Kind, obj: Object) -> Written:
        kind_context = _kind_context(context, served)
        kind.prepare_for_create(obj, kind_context)
        release = self._hook(kind, "before_create", obj, context.dry_run)
        try:
            self._validate_new(kind, obj, kind_context)
            context.warnings += kind.warnings(obj, None)
            await self.admission.validate(context, "CREATE", served, obj, None)
            metadata = obj["metadata"]
            key = Key(metadata.get("namespace", ""), metadata["name"])
            stored = await self._stored(served, obj)
            current = self.store.newest(served.storage, key)
            if current is not None:
                raise self._exists(served, key, current)
            if context.dry_run:
                return Written(await self._read(served, Entry(key, 0, orjson.dumps(stored), stored)), True)
            try:
                entry = (await self.store.commit(Write(served.storage, key, stored, MUST_NOT_EXIST), *self._companions(kind, stored, None)))[0]
            except Mismatch as mismatch:
                raise self._exists(served, key, mismatch.current) from None
            return Written(await self._read(served, entry), True)
        finally:
            release()

    @staticmethod
    def _exists(served: Served, key: Key, current: Entry | None) -> errors.ApiError:
        error = errors.already_exists(served.group_resource, key.name)
        if current is not None and current.object["metadata"].get("deletionTimestamp"):
            error = errors.ApiError(409, "AlreadyExists", f"object is being deleted: {error.message}", error.details)
        return error

    @staticmethod
    def _validate_new(kind: Kind, obj: Object, context: Context) -> None:
        found = _all_metadata(kind, obj["metadata"]) + kind.validate(obj, context)
        if found:
            raise errors.invalid(kind.kind, kind.group, obj["metadata"].get("name") or "", found)

    def _hook(self, kind: Kind, method: str, *arguments: Any) -> Callable[[], None]:
        hook = self.hooks.get(kind.group_resource)
        return getattr(hook, method)(*arguments) if hook is not None else _nothing_held

    def _companions(self, kind: Kind, new: Object | None, old: Object | None) -> Sequence[Write]:
        hook = self.hooks.get(kind.group_resource)
        return hook.companions(new, old) if hook is not None else ()

    # custom resources are stored in one version and written in any

    @staticmethod
    async def _stored(served: Served, obj: Object) -> Object:
        """The object as it is stored."""
        form = served.form
        if form is None:
            return ordered(obj, served.kind.kind, served.kind.api_version)
        return ordered(await form.write(obj), served.kind.kind, form.family.storage)

    @staticmethod
    async def _read(served: Served, entry: Entry) -> Entry:
        """The entry as the served version shows it."""
        return entry if served.form is None or served.form.exact(entry) else await served.form.read_one(entry)

    # updating

    async def update(
        self, context: RequestContext, served: Served, key: Key, transform: Transform, *,
        subresource: Subresource | None = None, attempts: int = 0, applied: bool = False, admitted: bool = False,
    ) -> Written:
        """Stores what `transform` makes of the newest version. `attempts` bounds the tries (0: until it fits).

        `admitted` updates were admitted in another form, such as the Binding that assigns a pod to its node.
        """
        attempt = 0
        while True:
            attempt += 1
            current = self.store.newest(served.storage, key)
            if current is None:
                raise errors.not_found(served.group_resource, key.name)
            seen = await self._read(served, current) if served.form is not None else current
            new = transform(seen.object)
            explicit = bool((new.get("metadata") or {}).get("resourceVersion"))
            try:
                return await self._update_once(context, served, key, new, current, seen.object, subresource, applied, admitted)
            except Mismatch as mismatch:
                if mismatch.current is None:
                    raise errors.not_found(served.group_resource, key.name) from None
                if explicit or (attempts and attempt >= attempts):
                    raise errors.conflict(served.group_resource, key.name, errors.MODIFIED) from None

    async def _update_once(
        self, context: RequestContext, served: Served, key: Key, new: Object, current: Entry, old: Object, subresource: Subresource | None,
        applied: bool, admitted: bool,
    ) -> Written:
        kind = served.kind
        metadata = self._check_identity(served, key, new, old, unconditional=kind.unconditional_update or (subresource is not None and bool(subresource.body)))
        take_over_metadata(metadata, old["metadata"])
        metadata["generation"] = old["metadata"].get("generation")
        if not admitted:
            await self.admission.admit(context, "UPDATE", served, new, old, subresource)
        kind_context = _kind_context(context, served, subresource)
        prepare = subresource.prepare if subresource else kind.prepare_for_update
        prepare(new, old, kind_context)
        if not applied:
            update_managers(
                new, old, served.owner_type, manager=context.manager, api_version=served.owner_version,
                subresource=subresource.name if subresource else "", now=format_time(context.now))
        release = self._hook(kind, "before_update", new, old, context.dry_run) if subresource is None else _nothing_held
        try:
            self._validate_changed(kind, new, old, kind_context, subresource)
            if subresource is None:
                context.warnings += kind.warnings(new, old)
            if not admitted:
                await self.admission.validate(context, "UPDATE", served, new, old, subresource)
            return await self._store_update(context, served, key, new, current)
        finally:
            release()

    def _check_identity(self, served: Served, key: Key, new: Object, old: Object, unconditional: bool) -> dict[str, Any]:
        metadata = self._own_metadata(served, new, key.namespace)
        if metadata.get("name") != key.name:
            raise errors.bad_request(f"the name of the object ({metadata.get('name') or ''}) does not match the name on the URL ({key.name})")
        metadata.pop("selfLink", None)
        revision = metadata.get("resourceVersion")
        if not revision and not unconditional:
            raise errors.invalid(served.kind.plural, served.kind.group, key.name, [
                FieldError("FieldValueInvalid", "metadata.resourceVersion", "Invalid value: 0: must be specified for an update")])
        if revision and not revision.isdecimal():
            raise errors.ApiError(500, "", f'resourceVersion "{revision}" is not a number')
        if revision and revision != "0" and revision != old["metadata"]["resourceVersion"]:
            raise errors.conflict(served.group_resource, key.name, errors.MODIFIED)
        metadata["resourceVersion"] = old["metadata"]["resourceVersion"]
        return metadata

    @staticmethod
    def _validate_changed(kind: Kind, new: Object, old: Object, context: Context, subresource: Subresource | None) -> None:
        """Kubernetes looks at the metadata for all kinds and again for each kind, so what is wrong with it is reported several times."""
        metadata = new["metadata"]
        found = validate_common_update(metadata, old["metadata"], namespaced=kind.namespaced)
        if found or metadata.get("finalizers"):
            for check in kind.metadata_checks if subresource is None else "u":
                found += _all_metadata(kind, metadata) if check == "m" else validate_object_meta_update(metadata, old["metadata"])
        found = found + (subresource.validate if subresource else kind.validate_update)(new, old, context)
        if found:
            raise errors.invalid(kind.kind, kind.group, old["metadata"]["name"], found)

    async def _store_update(self, context: RequestContext, served: Served, key: Key, new: Object, current: Entry) -> Written:
        kind, old = served.kind, current.object
        stored = await self._stored(served, new)
        if stored == old:
            await self.store.settled(served.storage, key)
            return Written(await self._read(served, current))
        finished = _deletion_finished(kind, stored, old)
        if context.dry_run:
            return Written(await self._read(served, Entry(key, current.revision, orjson.dumps(stored), stored)))
        if finished:
            await self.store.commit(Write(served.storage, key, None, current.revision), *self._companions(kind, None, old))
            return Written(await self._read(served, Entry(key, current.revision, orjson.dumps(stored), stored)))
        entry = (await self.store.commit(Write(served.storage, key, stored, current.revision), *self._companions(kind, stored, old)))[0]
        return Written(await self._read(served, entry))

    # deleting

    async def delete(self, context: RequestContext, served: Served, key: Key, options: DeleteOptions, admitted: bool = False) -> tuple[Object, bool]:
        """Deletes or marks the object; gives its last state in the stored version, and whether it is gone.

        `admitted` as for updates: an Eviction is admitted, not the deletion that follows.
        """
        while True:
            current = self.store.newest(served.storage, key)
            if current is None:
                raise errors.not_found(served.group_resource, key.name)
            old = (await self._read(served, current)).object
            if not admitted:
                await self.admission.admit(context, "DELETE", served, None, old)
                await self.admission.validate(context, "DELETE", served, None, old)
            check_preconditions(served.kind, key.name, old, options)
            decision = decide(served.kind, old, options, context.now)
            if decision.replacement is None or context.dry_run or options.dry_run:
                replacement = decision.replacement
                return ordered(replacement, served.kind.kind, served.kind.api_version) if replacement else old, decision.gone
            try:
                return await self._carry_out(served, key, current, old, decision)
            except Mismatch as mismatch:
                if mismatch.current is None:
                    raise errors.not_found(served.group_resource, key.name) from None

    async def _carry_out(self, served: Served, key: Key, current: Entry, old: Object, decision: Deletion) -> tuple[Object, bool]:
        assert decision.replacement is not None
        if decision.gone and served.kind.grace_period is not None:
            marked = ordered(decision.replacement, served.kind.kind, served.kind.api_version)
            await self.store.commit(Write(served.storage, key, marked, current.revision), Write(served.storage, key, None, None))
            return marked, True
        if decision.gone:
            await self.store.commit(Write(served.storage, key, None, current.revision), *self._companions(served.kind, None, current.object))
            return old, True
        stored = await self._stored(served, decision.replacement)
        (entry,) = await self.store.commit(Write(served.storage, key, stored, current.revision))
        return (await self._read(served, entry)).object, False


def _nothing_held() -> None:
    """For writes without a hook."""


def _kind_context(context: RequestContext, served: Served, subresource: Subresource | None = None) -> Context:
    """What the functions of a Kind may know of a request."""
    name = subresource.name if subresource else ""
    return Context(context.now, context.user.name, name, served.api_version, context.user.info(), context.warnings)


def _deletion_finished(kind: Kind, new: Object, old: Object) -> bool:
    """Whether this update took the last thing that held a deleted object."""
    metadata = new["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers") or kind.holds_deletion(new):
        return False
    held_before = bool(old["metadata"].get("finalizers")) or kind.holds_deletion(old)
    return held_before and not metadata.get("deletionGracePeriodSeconds")
