"""What every workload does with its pod template: defaults, validation against the selector, change of images in tables.

The rules of the template itself are those of pods (`api/core/pod_*.py`); they are imported when first needed, because most of
a process's kinds have no template.
"""
from __future__ import annotations

from typing import Any

from tiffin.machinery.field import FieldError, forbidden, invalid, not_supported, required
from tiffin.machinery.names import is_dns1123_label
from tiffin.machinery.object import Object, dig, name_of
from tiffin.machinery.selectors import from_label_selector, validate_label_selector

_POD_NAMES = "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: "
MISMATCH = "`selector` does not match template `labels`"


def default_template(template: dict[str, Any] | None) -> None:
    if template is not None:
        from tiffin.api.core.podspec.defaults import default_pod_template

        default_pod_template(template)


def template_errors(template: dict[str, Any], path: str) -> list[FieldError]:
    from tiffin.api.core.podspec.validation import validate_pod_template_spec

    return validate_pod_template_spec(template, path)


def template_warnings(new: Object, old: Object | None, *path: str) -> list[str]:
    """Warnings for the template at `path` of a workload that is new, or whose generation moved."""
    if old is not None and dig(new, "metadata", "generation") == dig(old, "metadata", "generation"):
        return []
    from tiffin.api.core.pod_warnings import template_warnings

    return template_warnings(dig(new, *path), ".".join(path))


def name_warnings(new: Object, old: Object | None) -> list[str]:
    """A new workload whose name is no DNS label, although its pods' names begin with it."""
    complaints = is_dns1123_label(name_of(new)) if old is None else []
    return [f"{_POD_NAMES}[{' '.join(complaints)}]"] if complaints else []


def workload_warnings(new: Object, old: Object | None) -> list[str]:
    """What most workloads are warned about: their name and their template."""
    return name_warnings(new, old) + template_warnings(new, old, "spec", "template")


def selector_errors(selector: dict[str, Any] | None, path: str, kind: str) -> list[FieldError]:
    """A workload's selector must be there and select something; `kind` is the word in the message."""
    if selector is None:
        return [required(path)]
    errors = validate_label_selector(selector, path)
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        errors.append(invalid(path, selector, f"empty selector is invalid for {kind}"))
    return errors


def label_errors(template: dict[str, Any], selector: dict[str, Any] | None, path: str) -> list[FieldError]:
    """The selector must match the template's labels; one that is empty is complained of elsewhere."""
    labels = dig(template, "metadata", "labels")
    wanted = from_label_selector(selector)
    return [] if wanted.is_everything or wanted.matches(labels or {}) else [invalid(f"{path}.metadata.labels", labels, MISMATCH)]


def long_running_errors(template: dict[str, Any], path: str, kind: str) -> list[FieldError]:
    """Pods of long-running workloads are always restarted and have no deadline."""
    spec = template.get("spec") or {}
    errors = []
    if spec.get("restartPolicy") != "Always":
        errors.append(not_supported(f"{path}.spec.restartPolicy", spec.get("restartPolicy", ""), ("Always",)))
    if spec.get("activeDeadlineSeconds") is not None:
        errors.append(forbidden(f"{path}.spec.activeDeadlineSeconds", f"activeDeadlineSeconds in {kind} is not Supported"))
    return errors


def selected_template_errors(spec: dict[str, Any], path: str, kind: str, complaint: str = "invalid label selector") -> list[FieldError]:
    """Selector and template of a ReplicaSet or Deployment spec: the template is looked at only with a selector that parses."""
    selector, template = spec.get("selector"), spec.get("template") or {}
    found = selector_errors(selector, f"{path}.selector", kind)
    if selector and validate_label_selector(selector, path):
        return [*found, invalid(f"{path}.selector", selector, complaint)]
    found += label_errors(template, selector, f"{path}.template")
    found += template_errors(template, f"{path}.template")
    return found + long_running_errors(template, f"{path}.template", "ReplicaSet")
