"""Questions to the server about users and rights, and the making of tokens: resources of which nothing is stored.

Each function takes the object of the request and gives the object that answers it. A question about rights gets the
authorizer's own answer, about a token the authenticators' own. Sources: API documentation of authentication.k8s.io/v1 and
authorization.k8s.io/v1; recorded messages.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tiffin.apiserver.admission.noderestriction import check_token_request
from tiffin.apiserver.authn.authenticator import Authenticator
from tiffin.apiserver.authn.serviceaccount import NODES, PODS, SERVICE_ACCOUNTS, Binding, TokenIssuer
from tiffin.apiserver.authn.tokens import SECRETS, Refused, Unready
from tiffin.apiserver.authz.attributes import Attributes
from tiffin.apiserver.authz.authorizer import Authorizer
from tiffin.apiserver.ports import Reader
from tiffin.apiserver.user import User
from tiffin.machinery import errors, field
from tiffin.machinery.errors import ApiError
from tiffin.machinery.field import FieldError
from tiffin.machinery.object import Object, dig, name_of, uid_of
from tiffin.machinery.timestamps import format_time

if TYPE_CHECKING:
    from tiffin.apiserver.context import RequestContext
    from tiffin.apiserver.registry import Served

AUTHENTICATION, AUTHORIZATION = "authentication.k8s.io", "authorization.k8s.io"
SHORTEST, LONGEST, USUAL = 600, 2**32, 3600
"""Seconds a token may be asked for."""
_WARN_ONLY, _EXTENDED = 3607, 365 * 86400
"""Mounted tokens live on past their hour, for clients that never read them again (KEP-1205)."""

Handler = Callable[["RequestContext", "Served", Object], Awaitable[Object]]


class Reviews:
    """Answers reviews from one authenticator and one authorizer."""

    def __init__(self, authenticator: Authenticator, authorizer: Authorizer) -> None:
        self._authenticator, self._authorizer = authenticator, authorizer

    def handlers(self) -> Mapping[str, Handler]:
        """What answers the create of each review, by group-resource."""

        async def token(context: RequestContext, served: Served, obj: Object) -> Object:
            try:
                return self.token_review(obj)
            except Unready as unready:
                await unready.wait()
                return self.token_review(obj)

        async def self_subject(context: RequestContext, served: Served, obj: Object) -> Object:
            return self_subject_review(context.user, context.now)

        async def access(context: RequestContext, served: Served, obj: Object) -> Object:
            return self.access_review(served.kind.kind, obj, context.user, context.info.namespace)

        async def rules(context: RequestContext, served: Served, obj: Object) -> Object:
            return self.rules_review(obj, context.user)

        return {
            f"tokenreviews.{AUTHENTICATION}": token,
            f"selfsubjectreviews.{AUTHENTICATION}": self_subject,
            f"subjectaccessreviews.{AUTHORIZATION}": access,
            f"localsubjectaccessreviews.{AUTHORIZATION}": access,
            f"selfsubjectaccessreviews.{AUTHORIZATION}": access,
            f"selfsubjectrulesreviews.{AUTHORIZATION}": rules,
        }

    def token_review(self, review: Object) -> Object:
        """Whether a token is good, whose it is, and for which of the audiences asked about."""
        spec = review.get("spec") or {}
        if not spec.get("token"):
            raise errors.bad_request("token is required for TokenReview in authentication")
        status: Object
        try:
            session = self._authenticator.review(spec["token"], spec.get("audiences") or ())
        except Refused as refusal:
            status = {"user": {}, "error": str(refusal)}
        else:
            status = {"authenticated": True, "user": session.user.info(), "audiences": list(session.audiences)}
        return _answer(review, "TokenReview", AUTHENTICATION, spec, status)

    def access_review(self, kind: str, review: Object, requester: User, namespace: str = "") -> Object:
        """The answer to a (Local, Self) SubjectAccessReview; `kind` and `namespace` are those of the path."""
        spec = review.get("spec") or {}
        found = _access_errors(kind, review, spec)
        if found:
            raise errors.invalid("", AUTHORIZATION, "", found)
        if kind == "LocalSubjectAccessReview" and (dig(review, "metadata", "namespace") or namespace) != namespace:
            raise errors.bad_request(f"spec.resourceAttributes.namespace must match namespace: {namespace}")
        user = requester if kind == "SelfSubjectAccessReview" else _subject(spec)
        decision = self._authorizer.authorize(_attributes(user, spec))
        status: Object = {"allowed": decision.allowed}
        if decision.reason:
            status["reason"] = decision.reason
        return _answer(review, kind, AUTHORIZATION, spec, status)

    def rules_review(self, review: Object, requester: User) -> Object:
        """The answer to a SelfSubjectRulesReview: all rules that apply to the requester in a namespace."""
        namespace = dig(review, "spec", "namespace", default="")
        if not namespace:
            raise errors.bad_request("no namespace on request")
        rules, incomplete, error = self._authorizer.rules_for(requester, namespace)
        listed = [{k: list(rule[k]) for k in ("verbs", "apiGroups", "resources", "resourceNames") if rule.get(k)} for rule in rules]
        paths = [{k: list(rule[k]) for k in ("verbs", "nonResourceURLs") if rule.get(k)} for rule in rules]
        status: Object = {
            "resourceRules": [rule for rule in listed if "resources" in rule],
            "nonResourceRules": [rule for rule in paths if "nonResourceURLs" in rule],
            "incomplete": incomplete,
        }
        if error:
            status["evaluationError"] = error
        return _answer(review, "SelfSubjectRulesReview", AUTHORIZATION, {}, status)


def self_subject_review(user: User, now: datetime) -> Object:
    """Who the requester is."""
    head = {"kind": "SelfSubjectReview", "apiVersion": f"{AUTHENTICATION}/v1"}
    return {**head, "metadata": {"creationTimestamp": format_time(now)}, "status": {"userInfo": user.info()}}


def _answer(review: Object, kind: str, group: str, spec: Object, status: Object) -> Object:
    metadata = review.get("metadata") or {}
    return {"kind": kind, "apiVersion": f"{group}/v1", "metadata": metadata, "spec": spec, "status": status}


def _access_errors(kind: str, review: Object, spec: Object) -> list[FieldError]:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    found: list[FieldError] = []
    if resource is not None and path is not None:
        found.append(field.invalid("spec.nonResourceAttributes", _path(path), "cannot be specified in combination with resourceAttributes"))
    if resource is None and path is None:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        found.append(field.invalid("spec.resourceAttributes", None, text))
    if kind != "SelfSubjectAccessReview" and not spec.get("user") and not spec.get("groups"):
        found.append(field.invalid("spec.user", "", "at least one of user or group must be specified"))
    for selector in ("fieldSelector", "labelSelector"):
        if resource is not None and resource.get(selector) is not None:
            found += _selector_errors(resource[selector], f"spec.resourceAttributes.{selector}")
    metadata = {key: value for key, value in (review.get("metadata") or {}).items() if value and key != "managedFields"}
    local = kind == "LocalSubjectAccessReview"
    if metadata.keys() - ({"namespace"} if local else set()):
        found.append(field.invalid("metadata", metadata, "must be empty except for namespace" if local else "must be empty"))
    if local and resource is not None and resource.get("namespace", "") != metadata.get("namespace", ""):
        found.append(field.invalid("spec.resourceAttributes.namespace", resource.get("namespace", ""), "must match metadata.namespace"))
    if local and path is not None:
        found.append(field.invalid("spec.nonResourceAttributes", _path(path), "disallowed on this kind of request"))
    return found


def _path(attributes: Object) -> Object:
    """How errors print nonResourceAttributes: with the server's own field names."""
    return {"Path": attributes.get("path", ""), "Verb": attributes.get("verb", "")}


def _selector_errors(selector: Object, path: str) -> list[FieldError]:
    raw, requirements = selector.get("rawSelector"), selector.get("requirements") or []
    if raw and requirements:
        return [field.invalid(f"{path}.rawSelector", raw, "may not specified at the same time as requirements")]
    if not raw and not requirements:
        return [field.required(f"{path}.requirements", f"when {path} is specified, requirements or rawSelector is required")]
    found: list[FieldError] = []
    for index, requirement in enumerate(requirements):
        here, operator, values = f"{path}.requirements[{index}]", requirement.get("operator", ""), requirement.get("values")
        if not requirement.get("key"):
            found.append(field.required(f"{here}.key", "must be specified"))
        if operator in ("In", "NotIn") and not values:
            found.append(field.required(f"{here}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist") and values:
            found.append(field.forbidden(f"{here}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
    return found


def _subject(spec: Object) -> User:
    extra = {key.lower(): tuple(values) for key, values in (spec.get("extra") or {}).items()}
    return User(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), extra)


def _attributes(user: User, spec: Object) -> Attributes:
    resource = spec.get("resourceAttributes")
    if resource is None:
        path = spec["nonResourceAttributes"]
        return Attributes(user, path.get("verb", ""), path=path.get("path", ""), is_resource=False)
    fields = ("verb", "group", "version", "resource", "subresource", "namespace", "name")
    known = {name: resource.get(name, "") for name in fields}
    return Attributes(
        user, **known, field_selector=_selector(resource.get("fieldSelector")), label_selector=_selector(resource.get("labelSelector"))
    )


def _selector(selector: Object | None) -> str:
    """Requirements as the text of a query; only equality narrows what an authorizer looks at."""
    if not selector:
        return ""
    if raw := selector.get("rawSelector"):
        return str(raw)
    single = [r for r in selector.get("requirements") or () if r.get("operator") == "In" and len(r.get("values") or ()) == 1]
    return ",".join(f"{r['key']}={r['values'][0]}" for r in single)


@dataclass(frozen=True, slots=True)
class TokenRequests:
    """Makes tokens for service accounts."""

    reader: Reader
    issuer: TokenIssuer
    audiences: tuple[str, ...]
    """Those of this server: the audience of requests that name none."""

    def create(self, user: User, namespace: str, name: str, request: Object, now: datetime) -> Object:
        """The answer to a TokenRequest posted to the account's `token` subresource, also for a dry run.

        Raises what Kubernetes answers: 404 for what does not exist, 422, 400 and 409 for what cannot be, 403 for nodes.
        """
        _check_kind(request)
        _check_names(request, namespace, name)
        account = self.reader.get(SERVICE_ACCOUNTS, namespace, name)
        if account is None:
            raise errors.not_found("serviceaccounts", name)
        check_token_request(self.reader, user, namespace, name, request)
        spec = request.get("spec") or {}
        audiences = spec.get("audiences") or list(self.audiences)
        seconds = spec["expirationSeconds"] if spec.get("expirationSeconds") is not None else USUAL
        _check_seconds(seconds)
        reference = spec.get("boundObjectRef")
        binding = self._binding(namespace, name, reference) if reference else Binding()
        start, life, warn_after = int(now.timestamp()), seconds, 0
        if binding.kind == "Pod" and seconds == _WARN_ONLY and set(audiences) <= set(self.audiences):
            life, warn_after = _EXTENDED, start + seconds
        token = self.issuer.bound(account, audiences, binding, start, start + life, warn_after)
        metadata = {"name": name, "namespace": namespace, "uid": str(uuid.uuid4()), "creationTimestamp": format_time(now)}
        return {
            "kind": "TokenRequest",
            "apiVersion": f"{AUTHENTICATION}/v1",
            "metadata": metadata,
            "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": reference},
            "status": {"token": token, "expirationTimestamp": format_time(now + timedelta(seconds=seconds))},
        }

    def _binding(self, namespace: str, account: str, reference: Mapping[str, Any]) -> Binding:
        kind, name = reference.get("kind", ""), reference.get("name", "")
        version = reference.get("apiVersion", "")
        resource = {"Pod": PODS, "Secret": SECRETS, "Node": NODES}.get(kind) if "/" not in version else None
        if resource is None:
            group, _, version = version.rpartition("/")
            raise errors.bad_request(f"cannot bind token to object of type {group}/{version}, Kind={kind}")
        found = self.reader.get(resource, "" if kind == "Node" else namespace, name)
        if found is None:
            raise errors.not_found(resource.plural, name)
        if kind == "Pod" and dig(found, "spec", "serviceAccountName") != account:
            text = f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.'
            raise errors.bad_request(text)
        if reference.get("uid") and reference["uid"] != uid_of(found):
            raise _recreated(kind, name, reference["uid"])
        node = dig(found, "spec", "nodeName", default="") if kind == "Pod" else ""
        return Binding(kind, name_of(found), uid_of(found), node, uid_of(self.reader.get(NODES, "", node) or {}) if node else "")


def _recreated(kind: str, name: str, uid: str) -> ApiError:
    text = f"the UID in the bound object reference ({uid}) does not match the UID in record"
    return errors.conflict(kind, name, f"{text}. The object might have been deleted and then recreated")


def _check_kind(request: Object) -> None:
    kind, version = request.get("kind") or "TokenRequest", (request.get("apiVersion") or f"{AUTHENTICATION}/v1").rpartition("/")[2]
    if kind != "TokenRequest":
        reason = f"converting ({version}.{kind}) to (authentication.TokenRequest): unknown conversion"
        raise errors.bad_request(f'{kind} in version "{version}" cannot be handled as a TokenRequest: {reason}')


def _check_names(request: Object, namespace: str, name: str) -> None:
    metadata = request.get("metadata") or {}
    for key, wanted in (("name", name), ("namespace", namespace)):
        given = metadata.get(key)
        if given and given != wanted:
            found = field.invalid(f"metadata.{key}", given, f"must match the service account {key} if specified")
            raise errors.invalid("TokenRequest", AUTHENTICATION, name, [found])


def _check_seconds(seconds: int) -> None:
    path, found = "spec.expirationSeconds", []
    if seconds < SHORTEST:
        found.append(field.invalid(path, seconds, "may not specify a duration less than 10 minutes"))
    if seconds > LONGEST:
        found.append(field.invalid(path, seconds, "may not specify a duration larger than 2^32 seconds"))
    if found:
        raise errors.invalid("TokenRequest", AUTHENTICATION, "", found)
