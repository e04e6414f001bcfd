"""Webhook configurations, validating and mutating: defaults, validation, table."""
from __future__ import annotations

from base64 import b64decode
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from tiffin.api.admissionregistration.rules import FAILURE_POLICIES, MATCH_POLICIES, condition_errors, default_rules, rule_errors
from tiffin.api.certificates.pem import bundle_fault
from tiffin.api.checks import named, needed, one_of
from tiffin.api.kind import Column, Context
from tiffin.api.printing import AGE, NAME
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, duplicate, invalid, required
from tiffin.machinery.object import Object
from tiffin.machinery.selectors import validate_label_selector
from tiffin.machinery.table import age, name

REVIEW_VERSIONS = ("v1", "v1beta1")
SIDE_EFFECTS = ("None", "NoneOnDryRun")
ANY_SIDE_EFFECTS = ("None", "NoneOnDryRun", "Some", "Unknown")
RETIRED = "admissionregistration.k8s.io/v1beta1"
"""The version in which a webhook need not know its side effects."""
COLUMNS = (NAME, Column("Webhooks", "integer"), AGE)
_URL = "desired format: https://host[/path]"


def default_webhooks(obj: Object) -> None:
    for hook in obj.get("webhooks") or ():
        hook.setdefault("clientConfig", {})
        hook.setdefault("failurePolicy", "Fail")
        hook.setdefault("matchPolicy", "Equivalent")
        hook.setdefault("namespaceSelector", {})
        hook.setdefault("objectSelector", {})
        hook.setdefault("timeoutSeconds", 10)
        default_rules(hook.get("rules"))
        service = hook["clientConfig"].get("service")
        if service is not None:
            service.setdefault("port", 443)


def side_effects(context: Context, old: Object | None = None) -> tuple[str, ...]:
    """The side effects that webhooks may have: any through the retired version, and where they had them before."""
    had = any(hook.get("sideEffects") not in SIDE_EFFECTS for hook in (old or {}).get("webhooks") or ())
    return ANY_SIDE_EFFECTS if had or context.api_version == RETIRED else SIDE_EFFECTS


def webhook_errors(obj: Object, effects: tuple[str, ...] = SIDE_EFFECTS) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, hook in enumerate(obj.get("webhooks") or ()):
        path, called = f"webhooks[{index}]", hook.get("name") or ""
        errors += _hook_errors(hook, path, effects) + _version_errors(hook.get("admissionReviewVersions") or [], f"{path}.admissionReviewVersions")
        if called and called in seen:
            errors.append(duplicate(f"{path}.name", called))
        seen.add(called)
    return errors


def _version_errors(versions: list[str], path: str) -> list[FieldError]:
    if not versions:
        return [required(path, f"must specify one of {', '.join(REVIEW_VERSIONS)}")]
    errors: list[FieldError] = []
    for index, version in enumerate(versions):
        if version in versions[:index]:
            errors.append(duplicate(f"{path}[{index}]", version))
        errors += named(version, f"{path}[{index}]", names.is_dns1035_label)
    if not errors and not set(versions) & set(REVIEW_VERSIONS):
        errors.append(invalid(path, versions, f"must include at least one of {', '.join(REVIEW_VERSIONS)}"))
    return errors


def _hook_errors(hook: dict[str, Any], path: str, allowed: tuple[str, ...]) -> list[FieldError]:
    errors = _called_errors(hook.get("name") or "", f"{path}.name")
    for index, rule in enumerate(hook.get("rules") or ()):
        errors += rule_errors(rule, f"{path}.rules[{index}]")
    for field, choices in (("failurePolicy", FAILURE_POLICIES), ("matchPolicy", MATCH_POLICIES)):
        if hook.get(field) is not None:
            errors += one_of(hook[field], f"{path}.{field}", choices)
    effects, seconds = hook.get("sideEffects"), hook.get("timeoutSeconds")
    if effects is None:
        errors.append(required(f"{path}.sideEffects", f"must specify one of {', '.join(allowed)}"))
    else:
        errors += one_of(effects, f"{path}.sideEffects", allowed)
    if seconds is not None and not 1 <= seconds <= 30:
        errors.append(invalid(f"{path}.timeoutSeconds", seconds, "the timeout value must be between 1 and 30 seconds"))
    for field in ("namespaceSelector", "objectSelector"):
        errors += validate_label_selector(hook.get(field), f"{path}.{field}")
    errors += client_errors(hook.get("clientConfig") or {}, f"{path}.clientConfig")
    errors += condition_errors(hook.get("matchConditions"), f"{path}.matchConditions")
    if hook.get("reinvocationPolicy") is not None:
        errors += one_of(hook["reinvocationPolicy"], f"{path}.reinvocationPolicy", ("IfNeeded", "Never"))
    return errors


def _called_errors(called: str, path: str) -> list[FieldError]:
    if not called:
        return [required(path)]
    errors = named(called, path, names.is_dns1123_subdomain)
    if not errors and called.count(".") < 2:
        errors = [invalid(path, called, "should be a domain with at least three segments separated by dots")]
    return errors


def client_errors(client: dict[str, Any], path: str) -> list[FieldError]:
    """Where a webhook is: a URL or a Service. Also the rule of conversion webhooks."""
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        return [required(path, "exactly one of url or service is required")]
    if url is not None:
        return _url_errors(url, f"{path}.url")
    assert service is not None
    return service_errors(service, f"{path}.service")


def bundle_errors(bundle: str, path: str) -> list[FieldError]:
    """Whether a bundle (base64) has certificates. The rule of conversion webhooks; those of admission may have any."""
    fault = bundle_fault(b64decode(bundle))
    return [invalid(path, bundle, f"unable to load root certificates: {fault}")] if fault else []


def _url_errors(url: str, path: str) -> list[FieldError]:
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError as error:
        return [required(path, f"url must be a valid URL: {error}; {_URL}")]
    errors = []
    if parts.scheme != "https":
        errors.append(invalid(path, parts.scheme, f"'https' is the only allowed URL scheme; {_URL}"))
    if not host:
        errors.append(invalid(path, host, f"host must be specified; {_URL}"))
    if "@" in parts.netloc:
        errors.append(invalid(path, parts.netloc.rpartition("@")[0], "user information is not permitted in the URL"))
    if parts.fragment:
        errors.append(invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        errors.append(invalid(path, parts.query, "query parameters are not permitted in the URL"))
    return errors


def service_errors(service: dict[str, Any], path: str) -> list[FieldError]:
    errors = [error for field in ("name", "namespace") for error in needed(service.get(field), f"{path}.{field}")]
    port: int = 443 if service.get("port") is None else service["port"]
    errors += [invalid(f"{path}.port", port, f"port is not valid: {m}") for m in names.is_valid_port_num(port)]
    return errors + _service_path_errors(service.get("path"), f"{path}.path")


def _service_path_errors(url_path: str | None, path: str) -> list[FieldError]:
    if url_path in (None, "", "/"):
        return []
    assert url_path is not None
    if url_path == "//":
        return [invalid(path, url_path, "segment[0] may not be empty")]
    errors = [] if url_path.startswith("/") else [invalid(path, url_path, "must start with a '/'")]
    for index, segment in enumerate(url_path[1:].removesuffix("/").split("/")):
        if not segment:
            errors.append(invalid(path, url_path, f"segment[{index}] may not be empty"))
        else:
            errors += [invalid(path, url_path, f"segment[{index}]: {m}") for m in names.is_dns1123_subdomain(segment)]
    return errors


def row(obj: Object, now: datetime) -> list[Any]:
    return [name(obj), len(obj.get("webhooks") or ()), age(obj, now)]
