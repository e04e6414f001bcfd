"""Acting as another user: the Impersonate-* headers and the rights they take.

Two kinds of rights exist. The classic verb `impersonate` allows everything the impersonated user may do. Constrained
impersonation (KEP-5284) splits it: `impersonate:<mode>` on the identity and `impersonate-on:<mode>:<verb>` on the object of
the request; its modes are tried first, in the order below. The mode that last succeeded for a user is tried before all
others, and a refusal reports the mode tried first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import unquote_to_bytes

from tiffin.apiserver.authn.serviceaccount import NODE_NAME
from tiffin.apiserver.authz.attributes import Attributes, Decision, refusal
from tiffin.apiserver.user import (
    ANONYMOUS,
    AUTHENTICATED,
    MASTERS,
    NODE_PREFIX,
    NODES,
    UNAUTHENTICATED,
    User,
    service_account_groups,
    split_service_account,
)
from tiffin.machinery import errors
from tiffin.machinery.errors import ApiError
from tiffin.machinery.names import is_dns1123_subdomain, is_domain_prefixed_path

_USER, _UID, _GROUP, _EXTRA = "impersonate-user", "impersonate-uid", "impersonate-group", "impersonate-extra-"
_AUTHENTICATION = "authentication.k8s.io"
_MANY = 4
"""From so many groups or extra values on, the right to all of them is asked for first."""

Authorize = Callable[[Attributes], Decision]


def wanted_user(headers: dict[str, str]) -> User | None:
    """The user the headers ask for, just as they say; the headers are taken out. None where there are none. Raises a 400.

    Repeated headers arrive joined with ", "; the name of a group or an extra value therefore cannot hold that.
    """
    if not any(name.startswith("impersonate-") for name in headers):
        return None
    found = {name: headers[name] for name in list(headers) if name in (_USER, _UID, _GROUP) or name.startswith(_EXTRA)}
    name, uid = found.get(_USER, ""), found.get(_UID, "")
    groups = tuple(found[_GROUP].split(", ")) if _GROUP in found else ()
    extra = {_unescaped(key[len(_EXTRA) :]): tuple(value.split(", ")) for key, value in found.items() if key.startswith(_EXTRA)}
    user = User(name, uid, groups, extra)
    if not name:
        if uid or groups or extra:
            raise errors.bad_request(f"requested {user.info()} without impersonating a user name")
        return None
    for key in found:
        del headers[key]
    return user


def _unescaped(key: str) -> str:
    """Extra keys are percent-encoded in header names; a broken escape stays as it is."""
    try:
        return unquote_to_bytes(key.lower()).decode()
    except UnicodeDecodeError:
        return key


class Impersonation:
    """Decides whether a user may act as another in a request."""

    def __init__(self, authorize: Authorize) -> None:
        self._authorize = authorize
        self._last: dict[str, str] = {}

    def impersonate(self, wanted: User, attributes: Attributes) -> User:
        """The user to carry the request out as; `attributes` are those of the request with the real user. Raises a 403."""
        last = self._last.get(attributes.user.name)
        first_error: ApiError | None = None
        for mode in sorted(_MODES, key=lambda mode: mode.name != last):
            if not mode.applies(wanted, attributes.user):
                continue
            try:
                user = _Check(self._authorize, mode, attributes).user(wanted)
            except ApiError as error:
                first_error = first_error or error
                continue
            if len(self._last) > 10_000:
                self._last.clear()
            self._last[attributes.user.name] = mode.name
            return user
        assert first_error is not None  # the classic mode always applies
        raise first_error


@dataclass(frozen=True, slots=True)
class _Mode:
    name: str
    applies: Callable[[User, User], bool]

    @property
    def constrained(self) -> bool:
        return self.name != "legacy"


@dataclass(frozen=True, slots=True)
class _Check:
    """One mode's questions to the authorizer."""

    authorize: Authorize
    mode: _Mode
    attributes: Attributes

    def user(self, wanted: User) -> User:
        """The impersonated user with the groups it gets by itself. Raises the 403 of the first right that is missing."""
        if self.mode.constrained:
            self._require(replace(self.attributes, user=self._requester(), verb=f"impersonate-on:{self.mode.name}:{self.attributes.verb}"))
        self._require(self._identity(wanted.name))
        if wanted.uid:
            self._require(self._on("uids", wanted.uid, _AUTHENTICATION))
        if wanted.groups:
            self._groups(wanted.groups)
        if wanted.extra:
            self._extra(wanted.extra)
        return replace(wanted, groups=_with_own_groups(wanted, self.mode.constrained))

    def _requester(self) -> User:
        """For the node a service account runs on, the decision must not depend on which node that is."""
        if self.mode.name != "associated-node":
            return self.attributes.user
        keys = tuple(sorted(self.attributes.user.extra))
        return replace(self.attributes.user, extra={"authentication.kubernetes.io/associated-node-keys": keys})

    def _on(self, resource: str, name: str, group: str = "", namespace: str = "", subresource: str = "") -> Attributes:
        verb = f"impersonate:{self.mode.name}" if self.mode.constrained else "impersonate"
        return Attributes(self._requester(), verb, group, "v1", resource, subresource, namespace, name)

    def _identity(self, name: str) -> Attributes:
        group = _AUTHENTICATION if self.mode.constrained else ""
        if self.mode.constrained and (node := _node_name(name)):
            return self._on("nodes", "*" if self.mode.name == "associated-node" else node, group)
        if account := split_service_account(name):
            return self._on("serviceaccounts", account[1], group, account[0])
        return self._on("users", name, group)

    def _groups(self, groups: tuple[str, ...]) -> None:
        group = _AUTHENTICATION if self.mode.constrained else ""
        if self.mode.constrained:
            if "" in groups:
                raise refusal(self._on("groups", "", group), "impersonating the empty string group is not allowed")
            if MASTERS in groups:
                raise refusal(self._on("groups", MASTERS, group), f"impersonating the {MASTERS} group is not allowed")
            if len(groups) >= _MANY and self.authorize(self._on("groups", "*", group)).allowed:
                return
        for name in groups:
            self._require(self._on("groups", name, group))

    def _extra(self, extra: Mapping[str, tuple[str, ...]]) -> None:
        if self.mode.constrained:
            if complaint := next(_extra_complaints(extra), None):
                raise refusal(self._on("userextras", "", _AUTHENTICATION), complaint)
            if sum(max(1, len(values)) for values in extra.values()) >= _MANY:
                if self.authorize(self._on("userextras", "*", _AUTHENTICATION, subresource="*")).allowed:
                    return
        for key, values in extra.items():
            for value in values:
                self._require(self._on("userextras", value, _AUTHENTICATION, subresource=key))

    def _require(self, attributes: Attributes) -> None:
        decision = self.authorize(attributes)
        if not decision.allowed:
            raise refusal(attributes, decision.reason)


def _with_own_groups(wanted: User, constrained: bool) -> tuple[str, ...]:
    groups = wanted.groups
    if account := split_service_account(wanted.name):
        groups = groups or service_account_groups(account[0])
    elif constrained and _node_name(wanted.name):
        groups = (NODES,)
    if wanted.name == ANONYMOUS:
        own = UNAUTHENTICATED
    elif UNAUTHENTICATED in groups:
        return groups
    else:
        own = AUTHENTICATED
    return groups if own in groups else (*groups, own)


def _extra_complaints(extra: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for key, values in extra.items():
        if not key:
            yield "impersonating the empty string key in extra is not allowed"
        elif found := is_domain_prefixed_path(key):
            yield f'impersonating an invalid key in extra is not allowed: extra.key: Invalid value: "{key}": {found[0]}'
        elif "" in values:
            yield "impersonating the empty string value in extra is not allowed"


def _node_name(user: str) -> str:
    name = user[len(NODE_PREFIX) :] if user.startswith(NODE_PREFIX) else ""
    return name if name and not is_dns1123_subdomain(name) else ""


def _only_name(wanted: User) -> bool:
    return not (wanted.uid or wanted.groups or wanted.extra)


def _is_own_node(wanted: User, requester: User) -> bool:
    node = _node_name(wanted.name)
    return bool(node) and _only_name(wanted) and bool(split_service_account(requester.name)) and requester.extra.get(NODE_NAME) == (node,)


_MODES = (
    _Mode("associated-node", _is_own_node),
    _Mode("arbitrary-node", lambda wanted, requester: _only_name(wanted) and bool(_node_name(wanted.name))),
    _Mode("serviceaccount", lambda wanted, requester: _only_name(wanted) and bool(split_service_account(wanted.name))),
    _Mode("user-info", lambda wanted, requester: not _node_name(wanted.name) and not split_service_account(wanted.name)),
    _Mode("legacy", lambda wanted, requester: True),
)
