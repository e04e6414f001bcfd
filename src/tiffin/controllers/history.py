"""ControllerRevisions: the templates a DaemonSet or StatefulSet had, numbered, so that it can go back.

A template that was there before gets the next number again instead of a second revision. Old ones beyond the limit go when no pod
uses them. Source: Kubernetes' controller history, as documented and observed.
"""
from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from tiffin.controllers.owners import claim, controller_reference
from tiffin.controllers.resources import CONTROLLER_REVISIONS
from tiffin.controllers.rollout import template_hash
from tiffin.controllers.writing import changed
from tiffin.machinery.object import Object, annotations_of, dig, labels_of, name_of, namespace_of, uid_of
from tiffin.machinery.selectors import Selector
from tiffin.runtime.controller import Change, Create, Delete, View


@dataclass
class History:
    """The revisions of one owner, the one of its present template among them, and the changes that make it so."""

    revisions: list[Object]
    current: Object
    collisions: int
    changes: list[Change] = field(default_factory=list)

    def discard(self, limit: int, used: Collection[str]) -> list[Change]:
        """Deletions of old revisions beyond `limit`, those named in `used` spared."""
        old = [r for r in ordered(self.revisions) if name_of(r) not in used and name_of(r) != name_of(self.current)]
        excess = old[: max(0, len(old) - limit)]
        return [Delete(CONTROLLER_REVISIONS, namespace_of(r), name_of(r), uid=uid_of(r)) for r in excess]


def ordered(revisions: Sequence[Object]) -> list[Object]:
    return sorted(revisions, key=lambda r: (r.get("revision", 0), name_of(r)))


def snapshot(owner: Object) -> Object:
    """The data of a revision: a strategic merge patch that restores the template."""
    return {"spec": {"template": {"$patch": "replace", **dig(owner, "spec", "template", default={})}}}


def template_of(revision: Object) -> Object:
    template = dig(revision, "data", "spec", "template", default={})
    return {name: value for name, value in template.items() if name != "$patch"}


def history(owner: Object, selector: Selector, view: View, hash_label: str) -> History:
    """The owner's history with a revision of its present template."""
    claimed = claim(CONTROLLER_REVISIONS, owner, selector, view)
    revisions = ordered(claimed.objects)
    number = max((r.get("revision", 0) for r in revisions), default=0) + 1
    data = snapshot(owner)
    collisions = dig(owner, "status", "collisionCount", default=0)
    same = [r for r in revisions if r.get("data") == data]
    if same:
        return _renumbered(revisions, same[-1], number, collisions, claimed.patches)
    current = _made(owner, data, number, collisions, hash_label)
    while view.get(CONTROLLER_REVISIONS, namespace_of(current), name_of(current)):
        collisions += 1
        current = _made(owner, data, number, collisions, hash_label)
    return History([*revisions, current], current, collisions, [*claimed.patches, Create(CONTROLLER_REVISIONS, current)])


def _renumbered(revisions: list[Object], same: Object, number: int, collisions: int, patches: Sequence[Change]) -> History:
    """A template that returns becomes the newest again."""
    if same is revisions[-1]:
        return History(revisions, same, collisions, list(patches))
    current = same | {"revision": number}
    others = [r for r in revisions if r is not same]
    return History([*others, current], current, collisions, [*patches, *changed(CONTROLLER_REVISIONS, same, current)])


def _made(owner: Object, data: Object, number: int, collisions: int, hash_label: str) -> Object:
    hashed = template_hash(dig(owner, "spec", "template", default={}), collisions)
    labels = {**labels_of(dig(owner, "spec", "template", default={})), hash_label: hashed}
    metadata: Object = {"name": f"{name_of(owner)}-{hashed}", "namespace": namespace_of(owner), "labels": labels}
    if annotations := annotations_of(owner):
        metadata["annotations"] = dict(annotations)
    metadata["ownerReferences"] = [controller_reference(owner)]
    return {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": metadata, "data": data, "revision": number}
