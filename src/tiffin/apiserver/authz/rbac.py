"""Role-based access control: roles bound to subjects, indexed for a decision in about a microsecond.

The index is rebuilt when a role or binding has changed since (the reader's revisions tell), and so are the decisions kept by
user and action. A decision that hangs on the object's name, because of resourceNames, is kept with the name.
Source: Kubernetes documentation "Using RBAC Authorization"; reasons are worded as the API server words them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tiffin.apiserver.authz.attributes import Attributes, Decision
from tiffin.apiserver.authz.rules import Compiled, Rule
from tiffin.apiserver.ports import Reader
from tiffin.apiserver.user import User, service_account_name
from tiffin.machinery.field import shown
from tiffin.machinery.object import Object, Resource, name_of, namespace_of

GROUP = "rbac.authorization.k8s.io"
ROLES = Resource(GROUP, "v1", "roles")
CLUSTER_ROLES = Resource(GROUP, "v1", "clusterroles")
ROLE_BINDINGS = Resource(GROUP, "v1", "rolebindings")
CLUSTER_ROLE_BINDINGS = Resource(GROUP, "v1", "clusterrolebindings")

_KEPT = 65536

Grant = tuple[Compiled, Object, Any]
"""A rule that applies to a user, the binding it comes from and the binding's subject that is the user."""


class Rbac:
    """The RBAC authorizer over the stored roles and bindings."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._revisions: tuple[int, ...] = ()
        self._bindings_of: tuple[int, ...] = ()
        self._bindings: dict[tuple[str, str, str], list[tuple[int, Object, Any]]] = {}
        self._rules: dict[tuple[str, str, str], tuple[Compiled, ...] | None] = {}
        self._grants: dict[tuple[str, tuple[str, ...], str], tuple[list[Grant], list[str]]] = {}
        self._decisions: dict[tuple[Any, ...], Decision] = {}

    def authorize(self, a: Attributes) -> Decision:
        self._refresh()
        user = a.user
        target = (a.group, a.resource, a.subresource, a.namespace) if a.is_resource else (a.path,)
        key = (user.name, user.groups, a.verb, *target)
        decision = self._decisions.get(key) or self._decisions.get((*key, a.name))
        if decision is None:
            decision, depends_on_name = self._decide(a)
            if len(self._decisions) >= _KEPT:
                self._decisions.clear()
            self._decisions[(*key, a.name) if depends_on_name else key] = decision
        return decision

    def rules_for(self, user: User, namespace: str) -> tuple[list[Rule], list[str]]:
        """Every rule that applies to the user in the namespace (cluster-wide ones too), and what could not be resolved."""
        self._refresh()
        rules, problems = [], []
        for scope in ("", namespace) if namespace else ("",):
            grants, found = self._granted(user, scope)
            rules += [rule.rule for rule, _, _ in grants]
            problems += found
        return rules, problems

    def role_rules(self, reference: Object, namespace: str) -> list[Rule] | None:
        """The rules of the role a roleRef names; None where it does not exist."""
        self._refresh()
        rules = self._role(reference.get("kind", ""), namespace, reference.get("name", ""))
        return None if rules is None else [rule.rule for rule in rules]

    def _decide(self, a: Attributes) -> tuple[Decision, bool]:
        depends_on_name, problems = False, []
        for scope in ("", a.namespace) if a.namespace else ("",):
            grants, found = self._granted(a.user, scope)
            problems += found
            for rule, binding, subject in grants:
                if not rule.concerns(a):
                    continue
                depends_on_name = depends_on_name or (a.is_resource and bool(rule.names))
                if rule.allows(a):
                    return Decision(True, _allowed_by(binding, subject)), depends_on_name
        if not problems:
            return Decision(False), depends_on_name
        unique = list(dict.fromkeys(problems))
        return Decision(False, f"RBAC: {unique[0] if len(unique) == 1 else '[' + ', '.join(unique) + ']'}"), depends_on_name

    def _granted(self, user: User, namespace: str) -> tuple[list[Grant], list[str]]:
        """What the bindings of one scope ("" is the cluster) give the user, and which of their roles are missing."""
        key = (user.name, user.groups, namespace)
        known = self._grants.get(key)
        if known is None:
            if len(self._grants) >= _KEPT:
                self._grants.clear()
            known = self._grants[key] = self._collect(user, namespace)
        return known

    def _collect(self, user: User, namespace: str) -> tuple[list[Grant], list[str]]:
        found: dict[int, tuple[Object, Any]] = {}
        for kind, name in (("User", user.name), *(("Group", group) for group in user.groups)):
            for number, binding, subject in self._bindings.get((namespace, kind, name), ()):
                found.setdefault(number, (binding, subject))
        grants: list[Grant] = []
        problems: list[str] = []
        for _, (binding, subject) in sorted(found.items(), key=lambda item: item[0]):
            reference = binding["roleRef"]
            rules = self._role(reference["kind"], namespace, reference["name"])
            if rules is None:
                problems.append(f"{reference['kind'].lower()}.{GROUP} {shown(reference['name'])} not found")
            grants.extend((rule, binding, subject) for rule in rules or ())
        return grants, problems

    def _role(self, kind: str, namespace: str, name: str) -> tuple[Compiled, ...] | None:
        key = (kind, namespace if kind == "Role" else "", name)
        if key not in self._rules:
            role = self._reader.get(ROLES if kind == "Role" else CLUSTER_ROLES, key[1], name)
            self._rules[key] = None if role is None else tuple(Compiled(rule) for rule in role.get("rules") or ())
        return self._rules[key]

    def _refresh(self) -> None:
        """Forgets what was derived from roles and bindings that have changed since."""
        revision = self._reader.revision
        bindings = (revision(ROLE_BINDINGS), revision(CLUSTER_ROLE_BINDINGS))
        revisions = (revision(ROLES), revision(CLUSTER_ROLES), *bindings)
        if revisions == self._revisions:
            return
        self._decisions.clear()
        self._grants.clear()
        self._rules.clear()
        if bindings != self._bindings_of:
            self._bindings = {}
            for number, binding in enumerate(self._all_bindings()):
                namespace = namespace_of(binding)
                for kind, name, subject in _subjects(binding, namespace):
                    self._bindings.setdefault((namespace, kind, name), []).append((number, binding, subject))
        self._revisions, self._bindings_of = revisions, bindings

    def _all_bindings(self) -> Iterator[Object]:
        yield from self._reader.list(CLUSTER_ROLE_BINDINGS)
        yield from self._reader.list(ROLE_BINDINGS)


def _subjects(binding: Object, namespace: str) -> Iterable[tuple[str, str, Any]]:
    """Subjects as (User or Group, name): a service account is the user it acts as."""
    for subject in binding.get("subjects") or ():
        kind, name = subject.get("kind"), subject.get("name", "")
        if kind in ("User", "Group"):
            yield kind, name, subject
        elif kind == "ServiceAccount" and (owner := subject.get("namespace") or namespace):
            yield "User", service_account_name(owner, name), subject


def _allowed_by(binding: Object, subject: Any) -> str:
    kind, namespace = ("RoleBinding", namespace_of(binding)) if namespace_of(binding) else ("ClusterRoleBinding", "")
    name = f"{name_of(binding)}/{namespace}" if namespace else name_of(binding)
    role = f"{binding['roleRef']['kind']} {shown(binding['roleRef']['name'])}"
    who = f"{subject['name']}/{subject['namespace']}" if subject.get("namespace") else subject["name"]
    return f"RBAC: allowed by {kind} {shown(name)} of {role} to {subject['kind']} {shown(who)}"
