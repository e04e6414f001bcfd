"""What admission knows of a write, and the words of its refusals. Source: kube-apiserver `admission.Attributes`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tiffin.api.kind import Subresource
from tiffin.apiserver.admission.reinvocation import Reinvocation
from tiffin.apiserver.user import User
from tiffin.machinery import errors
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource

NO_RESOURCE = Resource("", "", "")
CREATE, UPDATE, DELETE, CONNECT = "CREATE", "UPDATE", "DELETE", "CONNECT"


@dataclass(slots=True)
class AdmissionAttributes:
    """A write as plugins see it. `resource` and the objects are in the stored version."""

    operation: str
    user: User
    kind: str
    resource: Resource
    now: datetime
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    """As in the path; empty for a create."""
    dry_run: bool = False
    options: Callable[[], Mapping[str, Any]] = dict
    """Gives the options of the request as an object."""
    warnings: list[str] = field(default_factory=list)
    """Shown to the client as Warning headers."""
    annotations: dict[str, str] = field(default_factory=dict)
    """For the audit log."""
    requested: Resource = NO_RESOURCE
    """As in the path, where it is another version than the stored one."""
    collection: bool = False
    """Whether the object goes with others of a collection, so that the path does not name it."""
    sub: Subresource | None = None
    rounds: Reinvocation | None = None
    """What `reinvocation` has come to, None while nobody has asked."""

    @property
    def group_resource(self) -> str:
        return self.resource.group_resource

    @property
    def reinvocation(self) -> Reinvocation:
        if self.rounds is None:
            self.rounds = Reinvocation()
        return self.rounds


def forbidden(a: AdmissionAttributes, obj: Object | None, message: str, causes: list[dict[str, Any]] | None = None) -> ApiError:
    """The 403 that names the object: by the path, else by its own name or the beginning of its generated one."""
    metadata = (obj or {}).get("metadata") or {}
    name = ("" if a.collection else a.name) or metadata.get("name") or metadata.get("generateName") or "Unknown"
    return errors.forbidden(a.group_resource, name, message, causes)


def aggregated(messages: list[str]) -> str:
    """Several complaints as one text; doubled ones are said once."""
    unique = list(dict.fromkeys(messages))
    return unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]"


def replace_contents(obj: Object, new: Object) -> None:
    """Makes `obj` what `new` is, in place; its metadata stays the same dictionary, for whoever holds it."""
    metadata = obj.get("metadata")
    obj.clear()
    obj.update(new)
    if isinstance(metadata, dict) and isinstance(obj.get("metadata"), dict):
        given = obj["metadata"]
        if given is not metadata:
            content = dict(given)
            metadata.clear()
            metadata.update(content)
            obj["metadata"] = metadata
