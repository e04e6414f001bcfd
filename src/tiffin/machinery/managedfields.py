"""Managed fields: who set which field, kept with every write, and server-side apply on top of it.

An entry of `metadata.managedFields` belongs to a manager, an operation (Apply or Update), a version and a subresource; appliers
are the same whatever the version. Rules (KEP-555, structured-merge-diff `Updater`):
* An update gives its manager what it added or changed, and takes that from everybody else; what it removed nobody owns.
* An apply owns what its body says, takes away what it owned before and nobody else owns, and may not change what others own
  unless forced.
* Objects whose entries are gone are not tracked until somebody applies; then all they have belongs to `before-first-apply`.
* Entries are ordered by operation, second, manager, version, subresource. More than `MOST_UPDATERS` updaters lose their oldest
  into `ancient-changes`.
Callers pass the object as the client wrote it, decoded and defaulted, before admission and before a kind's preparation. An
applied body comes as parsed: it is not decoded, because null, emptiness and spelling are part of what is applied.
"""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

from tiffin.machinery import fieldset, lastapplied, typed
from tiffin.machinery.errors import ApiError, bad_request
from tiffin.machinery.fieldset import FieldSet
from tiffin.machinery.normalize import normalizer
from tiffin.machinery.object import Object
from tiffin.machinery.schema import Type

MOST_UPDATERS = 10
ANCIENT, BEFORE_FIRST_APPLY, KUBECTL = "ancient-changes", "before-first-apply", "kubectl"
APPLY, UPDATE = "Apply", "Update"
_SYSTEM_FIELDS = frozenset(("name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields", "resourceVersion"))
"""Fields of metadata that nobody owns."""

Entry = dict[str, Any]
ResetFields = Iterable[tuple[str, ...]]
"""Paths that this way of writing cannot set: ("status",) for an ordinary write, ("spec",) for one of status."""


class Manager(NamedTuple):
    """What tells managers apart; `api_version` is "" for appliers."""

    name: str
    operation: str
    api_version: str
    subresource: str

    def __str__(self) -> str:
        text = orjson.dumps(self.name).decode()
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return f"{text} using {self.api_version}" if self.operation == UPDATE else text


class ApplyConflict(ApiError):
    """Others own fields that an apply would change. `conflicts` are (manager, path) pairs."""

    def __init__(self, conflicts: dict[Manager, FieldSet]) -> None:
        self.sets = conflicts
        listed = [(manager, path) for manager, fields in sorted(conflicts.items()) for path in fieldset.paths(fields)]
        causes = [{"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path} for manager, path in listed]
        super().__init__(409, "Conflict", _conflict_message(listed), {"causes": causes})


def _conflict_message(listed: list[tuple[Manager, str]]) -> str:
    if len(listed) == 1:
        return f"Apply failed with 1 conflict: conflict with {listed[0][0]}: {listed[0][1]}"
    lines: list[str] = []
    for manager in dict.fromkeys(manager for manager, _ in listed):
        lines.append(f"conflicts with {manager}:")
        lines += [f"- {path}" for owner, path in listed if owner == manager]
    return f"Apply failed with {len(listed)} conflicts: " + "\n".join(lines)


# Writes that are no apply

def update_managers(new: Object, old: Object | None, type: Type, *, manager: str, api_version: str, subresource: str, now: str,
                    reset_fields: ResetFields = ()) -> None:
    """Sets `metadata.managedFields` of `new`, in place; `old` is None on create. `now` is RFC 3339 with whole seconds.

    Entries that the client sent count on updates where they are readable; an empty entry alone asks to forget all of them.
    """
    metadata = new.setdefault("metadata", {})
    sent = metadata.pop("managedFields", None)
    entries: list[Entry] = []
    if old is not None:
        entries = _chosen(sent, (old.get("metadata") or {}).get("managedFields") or [], bool(subresource))
        if not entries:
            return
    changed, removed = _differ(type, zero(type) if old is None else old, new, reset_fields)
    if changed or removed:
        me = Manager(manager or "unknown", UPDATE, api_version, subresource)
        entries = _capped(_after_update(entries, me, changed, removed, now))
    if entries:
        metadata["managedFields"] = entries


def zero(type: Type) -> Object:
    """The empty object of a type, as Go would write it; the caller's own, for what apply makes of it is defaulted in place."""
    return orjson.loads(type.derive("zero", lambda t: orjson.dumps(normalizer(t)({}))))  # type: ignore[no-any-return]


def _chosen(sent: Any, live: list[Entry], ignore_sent: bool) -> list[Entry]:
    """The entries an update starts from: the client's if it sent readable ones, otherwise those of the live object."""
    if ignore_sent or sent is live or sent is None or sent == live:
        return live
    if not sent or sent == [{}]:
        return []
    try:
        return [_checked(entry) for entry in sent] or live
    except ValueError:
        return live


def _checked(entry: Any) -> Entry:
    if entry.get("operation") not in (APPLY, UPDATE) or not entry.get("apiVersion") or entry.get("fieldsType") != "FieldsV1":
        raise ValueError("not a readable entry")
    return {**entry, "fieldsV1": fieldset.checked(entry.get("fieldsV1") or {})}


def _differ(type: Type, old: Object, new: Object, reset_fields: ResetFields) -> tuple[FieldSet, FieldSet]:
    """What was added or changed, and what was removed, apart from what nobody owns."""
    changed: FieldSet = {}
    removed: FieldSet = {}
    for name, value in new.items():
        if name in ("apiVersion", "kind", "metadata"):
            continue
        if name not in old:
            changed[f"f:{name}"] = typed.added(typed.child_type(type, name))(value)
        elif (before := old[name]) is not value and before != value:
            typed.note(f"f:{name}", typed.compare(typed.child_type(type, name), before, value), changed, removed)
    for name, value in old.items():
        if name not in new and name not in ("apiVersion", "kind", "metadata"):
            removed[f"f:{name}"] = typed.added(typed.child_type(type, name))(value)
    before, after = _own_metadata(old), _own_metadata(new)
    if before != after:
        typed.note("f:metadata", typed.compare_fields(typed.child_type(type, "metadata"), before, after), changed, removed)
    for path in reset_fields:
        changed, removed = fieldset.without(changed, path), fieldset.without(removed, path)
    return changed, removed


def _own_metadata(obj: Object) -> Object:
    return {name: value for name, value in (obj.get("metadata") or {}).items() if name not in _SYSTEM_FIELDS}


def _after_update(entries: list[Entry], me: Manager, changed: FieldSet, removed: FieldSet, now: str) -> list[Entry]:
    kept: list[Entry] = []
    mine: FieldSet = {}
    for entry in entries:
        fields = fieldset.difference(fieldset.difference(entry["fieldsV1"], changed), removed)
        if changed and _id(entry) == me:
            mine = fields
        elif fields:
            kept.append(entry if fields is entry["fieldsV1"] else {**entry, "fieldsV1": fields})
    if changed:
        kept.append(_entry(me, fieldset.union(mine, changed), me.api_version, now))
    kept.sort(key=_order)
    return kept


def _entry(me: Manager, fields: FieldSet, api_version: str, time: str | None) -> Entry:
    entry: Entry = {"manager": me.name, "operation": me.operation, "apiVersion": api_version}
    if time:
        entry["time"] = time
    entry["fieldsType"], entry["fieldsV1"] = "FieldsV1", fields
    if me.subresource:
        entry["subresource"] = me.subresource
    return entry


def _id(entry: Entry) -> Manager:
    operation = entry.get("operation", "")
    return Manager(entry.get("manager", ""), operation, "" if operation == APPLY else entry.get("apiVersion", ""), entry.get("subresource", ""))


def _order(entry: Entry) -> tuple[str, ...]:
    return (entry.get("operation", ""), entry.get("time") or "", entry.get("manager", ""), entry.get("apiVersion", ""), entry.get("subresource", ""))


def _capped(entries: list[Entry]) -> list[Entry]:
    """The entries with the oldest updaters merged, per version, until no more than `MOST_UPDATERS` are left."""
    surplus = sum(entry["operation"] == UPDATE for entry in entries) - MOST_UPDATERS
    if surplus <= 0:
        return entries
    oldest = sorted((e for e in entries if e["operation"] == UPDATE), key=lambda e: (e.get("time") or "", str(_id(e))))
    first: dict[str, Entry] = {}
    buckets: dict[str, Entry] = {}
    gone: list[Entry] = []
    for entry in oldest:
        if surplus <= 0:
            break
        version = entry["apiVersion"]
        if version not in first:
            first[version] = entry
            continue
        before = buckets.get(version) or first[version]
        me = Manager(ANCIENT, UPDATE, version, "")
        buckets[version] = _entry(me, fieldset.union(entry["fieldsV1"], before["fieldsV1"]), version, entry.get("time"))
        gone += [entry, first[version]]
        surplus -= 1
    return sorted([*(e for e in entries if not any(e is g for g in gone)), *buckets.values()], key=_order)


# Apply

def apply(live: Object | None, applied: Object, type: Type, *, manager: str, force: bool, api_version: str, subresource: str, now: str,
          reset_fields: ResetFields = ()) -> Object:
    """The object that comes of applying a body, yet to be decoded and defaulted; neither input is changed.

    `live` is None where the apply creates. Raises ApplyConflict, and ApiError for bodies that cannot be applied.
    """
    check_fields(applied, type, api_version)
    me = Manager(manager, APPLY, "", subresource)
    base = _without_entries(live) if live is not None else zero(type)
    entries = _entries_for_apply(live, base, type, api_version, subresource, now)
    arguments = (base, applied, type, entries, me, api_version, now, tuple(reset_fields))
    try:
        result = _apply(*arguments, force=force)
    except ApplyConflict as conflict:
        if manager != KUBECTL:
            raise
        _excuse(conflict, base, type)
        result = _apply(*arguments, force=True)
    if manager == KUBECTL and lastapplied.annotation(result):
        result = lastapplied.with_annotation(result, applied)
    return result


def check_fields(applied: Object, type: Type, api_version: str) -> None:
    """Raises what is wrong with an applied body as such: another version, managed fields, fields or types that its kind has not."""
    if applied.get("apiVersion") != api_version:
        raise bad_request(f"invalid object type: {_gvk(applied)}")
    metadata = applied.get("metadata")
    if isinstance(metadata, dict) and metadata.get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    try:
        typed.validate(type, applied)
    except typed.TypedError as error:
        place = f"{(metadata or {}).get('namespace') or ''}/{(metadata or {}).get('name') or ''}" if isinstance(metadata, dict) else "/"
        raise ApiError(500, "", f"failed to create typed patch object ({place}; {_gvk(applied)}): {error}") from None


def _gvk(obj: Object) -> str:
    """Group, version and kind as Go prints them: `apps/v1, Kind=Deployment`, `/v1, Kind=Pod`."""
    version = str(obj.get("apiVersion") or "")
    return f"{version if '/' in version else '/' + version}, Kind={obj.get('kind') or ''}"


def _without_entries(obj: Object) -> Object:
    metadata = obj.get("metadata") or {}
    if "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}


def _entries_for_apply(live: Object | None, base: Object, type: Type, api_version: str, subresource: str, now: str) -> list[Entry]:
    entries: list[Entry] = (live.get("metadata") or {}).get("managedFields") or [] if live is not None else []
    if entries or live is None:
        return entries
    changed, _ = _differ(type, zero(type), base, ())
    return [_entry(Manager(BEFORE_FIRST_APPLY, UPDATE, api_version, subresource), changed, api_version, now)] if changed else []


def _apply(live: Object, applied: Object, type: Type, entries: list[Entry], me: Manager, api_version: str, now: str,
           reset_fields: tuple[tuple[str, ...], ...], *, force: bool) -> Object:
    mine = next((entry for entry in entries if _id(entry) == me), None)
    owned = typed.field_set(type, applied)
    for path in reset_fields:
        owned = fieldset.without(owned, path)
    others = [entry for entry in entries if entry is not mine]
    merged = typed.merge(type, live, applied)
    if mine:
        everybody = owned
        for entry in others:
            everybody = fieldset.union(everybody, entry["fieldsV1"])
        merged = _pruned(type, merged, mine["fieldsV1"], everybody)
    changed, removed = _differ(type, live, merged, reset_fields)
    conflicts = {_id(entry): common for entry in others if (common := fieldset.intersection(entry["fieldsV1"], changed))}
    if conflicts and not force:
        raise ApplyConflict(conflicts)
    others = _after_update(others, me, {}, fieldset.union(changed, removed), now)
    time = mine.get("time") if mine and merged == live else None if merged == live else now
    own = _without_system_fields(owned)
    after = sorted([*others, _entry(me, own, api_version, time)], key=_order) if own else others
    return _with_entries(merged, after)


def _pruned(type: Type, merged: Object, last: FieldSet, everybody: FieldSet) -> Object:
    """The object without what its applier owned before and nobody owns now."""
    last, everybody = typed.with_named_fields(type, last), typed.with_named_fields(type, everybody)
    have = typed.with_named_fields(type, typed.field_set(type, merged))
    left = typed.with_named_fields(type, typed.field_set(type, typed.remove(type, merged, last)))
    freed = typed.remove(type, merged, fieldset.difference(have, fieldset.union(left, everybody)))
    left = typed.with_named_fields(type, typed.field_set(type, freed))
    result: Object = typed.remove(type, merged, fieldset.intersection(fieldset.difference(have, left), last))
    return result or {}


def _without_system_fields(fields: FieldSet) -> FieldSet:
    """The set without what nobody owns: the type and the system's part of metadata."""
    kept = {element: node for element, node in fields.items() if element not in ("f:apiVersion", "f:kind", "f:metadata")}
    metadata = {element: node for element, node in fields.get("f:metadata", {}).items() if element[2:] not in _SYSTEM_FIELDS and element != "."}
    return kept | {"f:metadata": metadata} if metadata else kept


def _with_entries(obj: Object, entries: list[Entry]) -> Object:
    metadata = {name: value for name, value in (obj.get("metadata") or {}).items() if name != "managedFields"}
    return {**obj, "metadata": metadata | ({"managedFields": entries} if entries else {})}


def _excuse(conflict: ApplyConflict, live: Object, type: Type) -> None:
    """Conflicts of kubectl with what its own client-side apply wrote do not count; raises the rest."""
    allowed = lastapplied.allowed(live, type)
    rest = {manager: left for manager, fields in conflict.sets.items() if (left := fieldset.difference(fields, allowed))}
    if rest:
        raise ApplyConflict(rest) from None


def ignore_times(new: Object, old: Object) -> bool:
    """True if an object differs from the old one at most in the times of its entries; they are then taken from the old one, in place."""
    metadata, before = new.get("metadata") or {}, old.get("metadata") or {}
    mine, theirs = metadata.get("managedFields") or [], before.get("managedFields") or []
    if len(mine) != len(theirs) or any({**a, "time": ""} != {**b, "time": ""} for a, b in zip(sorted(mine, key=_timeless), sorted(theirs, key=_timeless))):
        return False
    if theirs:
        metadata["managedFields"] = theirs
    return True


def _timeless(entry: Entry) -> tuple[str, ...]:
    return _id(entry)


# The scale subresource shares an object's entries

def scale_entries(entries: list[Entry], path: tuple[str, ...]) -> list[Entry]:
    """The entries of an object as those of its Scale: whoever owns the replicas at `path` owns `spec.replicas`."""
    fields = fieldset.leaf_set(("spec", "replicas"))
    return [{**entry, "apiVersion": "autoscaling/v1", "fieldsV1": fields} for entry in entries or [] if fieldset.has(entry["fieldsV1"], path)]


def parent_entries(entries: list[Entry], scale: list[Entry], path: tuple[str, ...], api_version: str) -> list[Entry]:
    """An object's entries after its Scale was written: replicas belong to the owners in `scale`, under `api_version`."""
    owners = {_scale_id(entry): entry for entry in scale or []}
    fields = fieldset.leaf_set(path)
    after: list[Entry] = []
    for entry in entries or []:
        if not fieldset.has(entry["fieldsV1"], path) or owners.pop(_scale_id(entry), None) is not None:
            after.append(entry)
        elif left := fieldset.difference(entry["fieldsV1"], fields):
            after.append({**entry, "fieldsV1": left})
    after += [{**entry, "apiVersion": api_version, "fieldsV1": fields} for entry in owners.values()]
    return sorted(after, key=_order)


def _scale_id(entry: Entry) -> tuple[str, str, str]:
    return entry.get("manager", ""), entry.get("operation", ""), entry.get("subresource", "")
