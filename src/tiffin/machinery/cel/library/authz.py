"""May somebody do something: authorizer.group("apps").resource("deployments").namespace("x").check("create").allowed().

The question goes through `Authorizer`, a port the API server implements. `authorizer` is bound to an `AuthorizerValue` of the one who
made the request, `authorizer.requestResource` to a `ResourceCheck` of what was requested. Source: Kubernetes' authz library.
"""
from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from tiffin.machinery.cel.errors import EvaluationError
from tiffin.machinery.cel.functions import Library
from tiffin.machinery.cel.types import Type, struct

AUTHORIZER, PATH_CHECK, GROUP_CHECK, RESOURCE_CHECK, DECISION = (
    struct(f"kubernetes.authorization.{name}", {}) for name in ("Authorizer", "PathCheck", "GroupCheck", "ResourceCheck", "Decision"))
AUTHZ = Library([AUTHORIZER, PATH_CHECK, GROUP_CHECK, RESOURCE_CHECK, DECISION])


class Attributes(NamedTuple):
    """A question. `path` is set for paths that are no resources, the rest for resources. Selectors are text as given."""

    verb: str
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""


class Answer(NamedTuple):
    """`error` is what went wrong while answering, or empty."""

    allowed: bool
    reason: str = ""
    error: str = ""


class Authorizer(Protocol):
    """Answers at once, without waiting. `user` is what authentication found: an object of the API server's."""

    def authorize(self, user: Any, attributes: Attributes) -> Answer: ...

    def service_account(self, namespace: str, name: str) -> Any:
        """The user that a service account is."""
        ...


class AuthorizerValue:
    """Somebody, and whom to ask about them."""

    __slots__ = ("cel_type", "port", "user")

    def __init__(self, port: Authorizer, user: Any) -> None:
        self.cel_type: Type = AUTHORIZER
        self.port, self.user = port, user


class PathCheck:
    """A question about a path, without its verb."""

    __slots__ = ("asked", "cel_type", "path")

    def __init__(self, asked: AuthorizerValue, path: str) -> None:
        self.cel_type: Type = PATH_CHECK
        self.asked, self.path = asked, path


class GroupCheck:
    """The start of a question about resources of a group."""

    __slots__ = ("asked", "cel_type", "group")

    def __init__(self, asked: AuthorizerValue, group: str) -> None:
        self.cel_type: Type = GROUP_CHECK
        self.asked, self.group = asked, group


class ResourceCheck:
    """A question about a resource, without its verb."""

    __slots__ = ("asked", "attributes", "cel_type")

    def __init__(self, asked: AuthorizerValue, attributes: Attributes) -> None:
        self.cel_type: Type = RESOURCE_CHECK
        self.asked, self.attributes = asked, attributes


class DecisionValue:
    """An answer."""

    __slots__ = ("answer", "cel_type")

    def __init__(self, answer: Answer) -> None:
        self.cel_type: Type = DECISION
        self.answer = answer


def _path(asked: AuthorizerValue, path: str) -> PathCheck:
    if not path:
        raise EvaluationError("path must not be empty")
    return PathCheck(asked, path)


def _service_account(asked: AuthorizerValue, namespace: str, name: str) -> AuthorizerValue:
    return AuthorizerValue(asked.port, asked.port.service_account(namespace, name))


def _resource(check: GroupCheck, resource: str) -> ResourceCheck:
    if not resource:
        raise EvaluationError("resource must not be empty")
    return ResourceCheck(check.asked, Attributes("", group=check.group, resource=resource))


def _with(field: str) -> Any:
    return lambda check, text: ResourceCheck(check.asked, check.attributes._replace(**{field: text}))


def _check_path(check: PathCheck, verb: str) -> DecisionValue:
    return DecisionValue(check.asked.port.authorize(check.asked.user, Attributes(verb, path=check.path)))


def _check_resource(check: ResourceCheck, verb: str) -> DecisionValue:
    return DecisionValue(check.asked.port.authorize(check.asked.user, check.attributes._replace(verb=verb)))


_add = AUTHZ.add
_PREFIX = "kubernetes.authorization."
_add("path", "authorizer_path", f"{_PREFIX}Authorizer.(string) -> {_PREFIX}PathCheck", _path)
_add("group", "authorizer_group", f"{_PREFIX}Authorizer.(string) -> {_PREFIX}GroupCheck", GroupCheck)
_add("serviceAccount", "authorizer_serviceaccount", f"{_PREFIX}Authorizer.(string, string) -> {_PREFIX}Authorizer", _service_account)
_add("resource", "groupcheck_resource", f"{_PREFIX}GroupCheck.(string) -> {_PREFIX}ResourceCheck", _resource)
for _name, _field in (("subresource", "subresource"), ("namespace", "namespace"), ("name", "name"),
                      ("fieldSelector", "field_selector"), ("labelSelector", "label_selector")):
    _add(_name, f"resourcecheck_{_name.lower()}", f"{_PREFIX}ResourceCheck.(string) -> {_PREFIX}ResourceCheck", _with(_field))
_add("check", "pathcheck_check", f"{_PREFIX}PathCheck.(string) -> {_PREFIX}Decision", _check_path)
_add("check", "resourcecheck_check", f"{_PREFIX}ResourceCheck.(string) -> {_PREFIX}Decision", _check_resource)
_add("allowed", "decision_allowed", f"{_PREFIX}Decision.() -> bool", lambda decision: decision.answer.allowed)
_add("reason", "decision_reason", f"{_PREFIX}Decision.() -> string", lambda decision: decision.answer.reason)
_add("errored", "decision_errored", f"{_PREFIX}Decision.() -> bool", lambda decision: bool(decision.answer.error))
_add("error", "decision_error", f"{_PREFIX}Decision.() -> string", lambda decision: decision.answer.error)
