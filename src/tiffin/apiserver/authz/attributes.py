"""What is asked of an authorizer, and the words of a refusal. Source: kube-apiserver `authorizer.Attributes`, `ForbiddenMessage`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tiffin.apiserver.user import User
from tiffin.machinery import errors
from tiffin.machinery.errors import ApiError
from tiffin.machinery.field import shown


@dataclass(slots=True)
class Attributes:
    """One action of a user on a resource, or on a path when `is_resource` is false.

    `verb` is an API verb (get, list, watch, create, update, patch, delete, deletecollection, or a special one such as bind),
    for paths the lower-case HTTP method. `name` is also set for a list or watch whose field selector is `metadata.name=…`.
    For the resource "namespaces" `namespace` repeats the name. Selectors are as in the query.
    """

    user: User
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    is_resource: bool = True
    field_selector: str = ""
    label_selector: str = ""

    @property
    def group_resource(self) -> str:
        return f"{self.resource}.{self.group}" if self.group else self.resource

    @property
    def combined_resource(self) -> str:
        """`pods/log`: the form RBAC rules use."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


class Decision(NamedTuple):
    """An authorizer's answer. A refusal is "no opinion": another authorizer may still allow."""

    allowed: bool
    reason: str = ""


NO_OPINION = Decision(False)
ALLOWED = Decision(True)


def refusal(attributes: Attributes, reason: str = "") -> ApiError:
    """The 403 of a request that no authorizer allowed."""
    a = attributes
    if not a.is_resource:
        text = f"User {shown(a.user.name)} cannot {a.verb} path {shown(a.path)}"
        return errors.forbidden("", "", f"{text}: {reason}" if reason else text)
    where = f"in the namespace {shown(a.namespace)}" if a.namespace else "at the cluster scope"
    text = f"User {shown(a.user.name)} cannot {a.verb} resource {shown(a.combined_resource)} in API group {shown(a.group)} {where}"
    return errors.forbidden(a.group_resource, a.name, f"{text}: {reason}" if reason else text)
