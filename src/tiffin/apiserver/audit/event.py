"""Audit events of one request, stage by stage. Pure.

Whatever the policy says, no secret is written: values of Secrets, tokens of reviews and requests are replaced (attack 18).
Source: audit.k8s.io/v1 Event.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tiffin.apiserver.audit.policy import LEVELS, Choice
from tiffin.apiserver.authz.attributes import Attributes, Decision
from tiffin.apiserver.user import User
from tiffin.machinery.object import Object
from tiffin.machinery.timestamps import format_micro

DECISION, REASON = "authorization.k8s.io/decision", "authorization.k8s.io/reason"
REDACTED = "REDACTED"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
METADATA, REQUEST, RESPONSE = 1, 2, 3


@dataclass(slots=True)
class Record:
    """What is known of a request that is noted; `annotations` may be added to until it is complete."""

    choice: Choice
    action: Attributes
    audit_id: str
    uri: str
    agent: str
    source: str
    received: datetime
    user: User
    impersonated: User | None = None
    annotations: dict[str, str] = field(default_factory=dict)
    request: Any = None
    reference: dict[str, str] = field(default_factory=dict)
    """Of the object that was sent: uid and resourceVersion, and its name where the path does not say it."""

    def take(self, body: Any) -> None:
        """Takes down what was sent, or only which object it is, as the level says."""
        if self.choice.level >= REQUEST:
            self.request = body
        metadata = body.get("metadata") if isinstance(body, dict) else None
        if isinstance(metadata, dict) and self.action.verb in ("create", "update"):
            known = {name: metadata.get(name) for name in ("name", "uid", "resourceVersion")}
            self.reference = {name: value for name, value in known.items() if isinstance(value, str) and value}

    def decided(self, decision: Decision, user: User) -> None:
        """Takes down what the authorizer said, and as whom the request is carried out."""
        self.annotations |= {DECISION: "allow" if decision.allowed else "forbid", REASON: decision.reason}
        if user is not self.user:
            self.impersonated = user

    def event(self, stage: str, now: datetime, status: Object | None = None, response: Any = None) -> Object | None:
        """The event of a stage, None for one the policy leaves out."""
        if stage in self.choice.omitted:
            return None
        made: Object = {
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": LEVELS[self.choice.level], "auditID": self.audit_id, "stage": stage,
            "requestURI": self.uri, "verb": self.action.verb, "user": self.user.info()}
        if self.impersonated is not None:
            made["impersonatedUser"] = self.impersonated.info()
        made["sourceIPs"] = [self.source]
        if self.agent:
            made["userAgent"] = self.agent
        if self.action.is_resource:
            made["objectRef"] = self._reference(response)
        if status is not None:
            made["responseStatus"] = redacted(status, self.action)
        if self.choice.level >= REQUEST and self.request is not None:
            made["requestObject"] = self._shown(self.request)
        if self.choice.level >= RESPONSE and response is not None:
            made["responseObject"] = self._shown(response)
        made |= {"requestReceivedTimestamp": format_micro(self.received), "stageTimestamp": format_micro(now)}
        if self.annotations:
            made["annotations"] = dict(self.annotations)
        return made

    def _reference(self, response: Any) -> Object:
        action = self.action
        reference = {
            "resource": action.resource, "namespace": action.namespace, "name": action.name or self.reference.get("name") or _name(response),
            "uid": self.reference.get("uid"), "apiGroup": action.group, "apiVersion": action.version,
            "resourceVersion": self.reference.get("resourceVersion"), "subresource": action.subresource}
        return {key: value for key, value in reference.items() if value}

    def _shown(self, obj: Any) -> Any:
        if self.choice.omit_managed_fields:
            obj = _without_managed_fields(obj)
        return redacted(obj, self.action)


def _name(obj: Any) -> str:
    metadata = obj.get("metadata") if isinstance(obj, dict) and obj.get("kind") != "Status" else None
    return str(metadata.get("name") or "") if isinstance(metadata, dict) else ""


def _without_managed_fields(obj: Any) -> Any:
    if not isinstance(obj, dict):
        return obj
    new = dict(obj)
    if isinstance(obj.get("metadata"), dict):
        new["metadata"] = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
    if isinstance(obj.get("items"), list):
        new["items"] = [_without_managed_fields(item) for item in obj["items"]]
    return new


def redacted(obj: Any, action: Attributes) -> Any:
    """The object with every secret value replaced. A refusal may quote what was sent, so its words are left out as well."""
    secret = (action.group, action.resource) == ("", "secrets") or action.combined_resource in ("tokenreviews", "serviceaccounts/token")
    if secret and isinstance(obj, dict) and "code" in obj:
        return {**{k: v for k, v in obj.items() if k != "details"}, **({"message": REDACTED} if obj.get("message") else {})}
    if (action.group, action.resource) == ("", "secrets"):
        return _secret(obj)
    if action.combined_resource in ("tokenreviews", "serviceaccounts/token"):
        return _token(obj)
    return obj


def _secret(obj: Any) -> Any:
    """A Secret, a list of them, or a patch of one, with names but without values."""
    if isinstance(obj, list):
        return [{**part, "value": REDACTED} if isinstance(part, dict) and "value" in part else part for part in obj]
    if not isinstance(obj, dict):
        return REDACTED
    new = dict(obj)
    for field_name in ("data", "stringData"):
        if isinstance(obj.get(field_name), Mapping):
            new[field_name] = dict.fromkeys(obj[field_name], REDACTED)
        elif field_name in obj:
            new[field_name] = REDACTED
    metadata: dict[str, Any] = obj["metadata"] if isinstance(obj.get("metadata"), dict) else {}
    annotations = metadata.get("annotations")
    if isinstance(annotations, dict) and LAST_APPLIED in annotations:
        new["metadata"] = {**metadata, "annotations": {**annotations, LAST_APPLIED: REDACTED}}
    if isinstance(obj.get("items"), list):
        new["items"] = [_secret(item) for item in obj["items"]]
    if isinstance(obj.get("rows"), list):
        new["rows"] = [{**row, "object": _secret(row["object"])} if isinstance(row, dict) and row.get("object") else row for row in obj["rows"]]
    return new


def _token(obj: Any) -> Any:
    if not isinstance(obj, dict):
        return REDACTED
    new = dict(obj)
    for part in ("spec", "status"):
        if isinstance(obj.get(part), dict) and "token" in obj[part]:
            new[part] = {**obj[part], "token": REDACTED}
    return new
