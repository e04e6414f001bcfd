"""The one API error: it carries a Status, is raised anywhere and rendered once.

Constructors bear the name of the reason and word the message as Kubernetes does. `resource` is the group-resource text of
`Resource.group_resource` ("deployments.apps"); Source: API conventions, "Response Status Kind".
"""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiffin.machinery.field import FieldError
from tiffin.machinery.object import Object

MOST_VIOLATIONS = 1000


class ApiError(Exception):
    """A failed request. `code` is the HTTP status, `reason` the machine-readable cause, `details` the StatusDetails."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.details, self.headers = code, reason, message, details, headers

    def status(self) -> Object:
        """The Status object that answers the request."""
        status: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message}
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status

    @classmethod
    def from_status(cls, code: int, status: Object) -> ApiError:
        """The error a client raises for a Status received with HTTP status `code`."""
        return cls(status.get("code") or code, status.get("reason") or "", status.get("message") or f"HTTP {code}", status.get("details"))


def split_resource(resource: str) -> tuple[str, str]:
    """`deployments.apps` as ("deployments", "apps")."""
    plural, _, group = resource.partition(".")
    return plural, group


def _details(resource: str, name: str, **more: Any) -> dict[str, Any]:
    plural, group = split_resource(resource)
    details = {"name": name, "group": group, "kind": plural}
    return {k: v for k, v in details.items() if v} | more


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def unauthorized(message: str = "Unauthorized") -> ApiError:
    return ApiError(401, "Unauthorized", message)


def forbidden(resource: str, name: str, message: str, causes: list[dict[str, Any]] | None = None) -> ApiError:
    """`message` is the part after "is forbidden: "."""
    subject = f'{resource} "{name}" is forbidden' if name else f"{resource} is forbidden" if resource else "forbidden"
    more = {"causes": causes} if causes else {}
    return ApiError(403, "Forbidden", f"{subject}: {message}", _details(resource, name, **more))


def not_found(resource: str, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{resource} "{name}" not found', _details(resource, name))


def path_not_found() -> ApiError:
    """The answer for a group, version or resource that is not served."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed(message: str = "the server does not allow this method on the requested resource") -> ApiError:
    return ApiError(405, "MethodNotAllowed", message, {})


def method_not_supported(verb: str, resource: str) -> ApiError:
    """A verb that this kind of resource does not have, though its path has the method."""
    return ApiError(405, "MethodNotAllowed", f'{verb} is not supported on resources of kind "{resource}"', _details(resource, ""))


def not_acceptable(message: str) -> ApiError:
    return ApiError(406, "NotAcceptable", message)


def unsupported_media_type(message: str) -> ApiError:
    return ApiError(415, "UnsupportedMediaType", message)


def already_exists(resource: str, name: str) -> ApiError:
    return ApiError(409, "AlreadyExists", f'{resource} "{name}" already exists', _details(resource, name))


def conflict(resource: str, name: str, message: str, **more: Any) -> ApiError:
    """`message` is the part after "Operation cannot be fulfilled on …: "."""
    return ApiError(409, "Conflict", f'Operation cannot be fulfilled on {resource} "{name}": {message}', _details(resource, name, **more))


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def invalid(kind: str, group: str, name: str, errors: Iterable[FieldError]) -> ApiError:
    """422 with every violation; the message drops duplicates, the causes keep them.

    Of more than `MOST_VIOLATIONS` only the first are told: a small body of empty entries would be answered with megabytes.
    """
    errors = list(errors)
    more, errors = len(errors) - MOST_VIOLATIONS, errors[:MOST_VIOLATIONS]
    texts = list(dict.fromkeys(str(e) for e in errors))
    if more > 0:
        texts.append(f"and {more} more")
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]" if texts else ""
    qualified = f"{kind}.{group}" if group else kind
    details: dict[str, Any] = {k: v for k, v in (("name", name), ("group", group), ("kind", kind)) if v}
    if errors:
        details["causes"] = [{"reason": e.reason, "message": e.message, "field": e.field} for e in errors]
    return ApiError(422, "Invalid", f'{qualified} "{name}" is invalid' + (f": {listed}" if listed else ""), details)


def expired(message: str) -> ApiError:
    return ApiError(410, "Expired", message)


def gone(message: str) -> ApiError:
    return ApiError(410, "Gone", message)


def too_large(message: str) -> ApiError:
    return ApiError(413, "RequestEntityTooLarge", message)


def too_many_requests(message: str, retry_after: int = 1, details: dict[str, Any] | None = None) -> ApiError:
    """`retry_after` in seconds; 0 leaves it to the client."""
    after = {"retryAfterSeconds": retry_after} if retry_after else {}
    return ApiError(429, "TooManyRequests", message, after | (details or {}), {"Retry-After": str(retry_after)} if retry_after else None)


def internal_error(message: str) -> ApiError:
    return ApiError(500, "InternalError", f"Internal error occurred: {message}", {"causes": [{"message": message}]})


def service_unavailable(message: str) -> ApiError:
    return ApiError(503, "ServiceUnavailable", message)


def timeout(message: str, retry_after: int = 0) -> ApiError:
    return ApiError(504, "Timeout", message, {"retryAfterSeconds": retry_after} if retry_after else {})
