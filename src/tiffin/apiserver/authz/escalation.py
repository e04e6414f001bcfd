"""Nobody grants what they do not have: the check on writes of roles and bindings.

Allowed are administrators (system:masters), whoever has the verb "escalate" on the role or "bind" on the role bound, and
whoever holds every right that is granted. Writes that change no rights, and those that only remove finalizers and owners, pass.
Source: Kubernetes documentation "Privilege escalation prevention and bootstrapping".
"""

from __future__ import annotations

from collections.abc import Sequence

from tiffin.apiserver.authz.attributes import Attributes
from tiffin.apiserver.authz.authorizer import Authorizer
from tiffin.apiserver.authz.rbac import GROUP
from tiffin.apiserver.authz.rules import FULL_AUTHORITY, Rule, compact, describe, missing, quoted
from tiffin.apiserver.user import MASTERS, User
from tiffin.machinery import errors
from tiffin.machinery.field import shown
from tiffin.machinery.object import Object, name_of

_ROLES = {"roles", "clusterroles"}
_BINDINGS = {"rolebindings", "clusterrolebindings"}
_COLLECTED = ("finalizers", "ownerReferences", "managedFields", "resourceVersion")


def check_escalation(authorizer: Authorizer, user: User, resource: str, namespace: str, obj: Object, old: Object | None) -> None:
    """Raises a 403 (or a 404 for a role that does not exist) if writing `obj` would grant more than `user` has.

    `resource` is the plural of a kind of rbac.authorization.k8s.io; `old` is the stored object of an update.
    """
    if MASTERS in user.groups or (old is not None and _only_collected(obj, old)):
        return
    if resource in _ROLES:
        _check_role(authorizer, user, resource, namespace, obj, old)
    elif resource in _BINDINGS:
        _check_binding(authorizer, user, resource, namespace, obj)


def _only_collected(obj: Object, old: Object) -> bool:
    """Whether an update only touches what garbage collection touches."""

    def rest(o: Object) -> Object:
        metadata = {key: value for key, value in (o.get("metadata") or {}).items() if key not in _COLLECTED}
        return {key: value for key, value in o.items() if value} | {"metadata": metadata}

    return rest(obj) == rest(old)


def _check_role(authorizer: Authorizer, user: User, resource: str, namespace: str, obj: Object, old: Object | None) -> None:
    rules, aggregation = obj.get("rules") or [], obj.get("aggregationRule")
    if old is not None and rules == (old.get("rules") or []) and aggregation == old.get("aggregationRule"):
        return
    escalate = Attributes(user, "escalate", GROUP, "*", resource, namespace=namespace, name=name_of(obj))
    if authorizer.authorize(escalate).allowed:
        return
    if aggregation and (old is None or aggregation != old.get("aggregationRule")):
        rules = [*FULL_AUTHORITY, *rules]  # what it will come to hold, nobody can tell
    _confirm(authorizer, user, resource, namespace, name_of(obj), rules)


def _check_binding(authorizer: Authorizer, user: User, resource: str, namespace: str, obj: Object) -> None:
    reference = obj.get("roleRef") or {}
    role, name = reference.get("kind", ""), reference.get("name", "")
    plural = {"Role": "roles", "ClusterRole": "clusterroles"}.get(role)
    if plural is None:
        return  # validation says so better
    if authorizer.authorize(Attributes(user, "bind", GROUP, "*", plural, namespace=namespace, name=name)).allowed:
        return
    rules = authorizer.rbac.role_rules(reference, namespace)
    if rules is None:
        raise errors.not_found(f"{resource}.{GROUP}", name)
    _confirm(authorizer, user, resource, namespace, name_of(obj), rules)


def _confirm(authorizer: Authorizer, user: User, resource: str, namespace: str, name: str, rules: Sequence[Rule]) -> None:
    owned, problems = authorizer.rbac.rules_for(user, namespace)
    lacking = missing(owned, rules)
    if not lacking:
        return
    listed = "\n".join(sorted({describe(rule) for rule in compact(lacking)}))
    who = f"user {shown(user.name)} (groups={quoted(user.groups)})"
    text = f"{who} is attempting to grant RBAC permissions not currently held:\n{listed}"
    if problems:
        text += f"; resolution errors: [{' '.join(problems)}]"
    raise errors.forbidden(f"{resource}.{GROUP}", name, text)
