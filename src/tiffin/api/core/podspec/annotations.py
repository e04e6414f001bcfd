"""Annotations that mean something for pods: mirror pods, the cost of deletion, and the profiles that have become fields.

A profile may stand both in an annotation and in the field that replaced it, but then they must say the same.
"""
from __future__ import annotations

import re
from typing import Any

from tiffin.api.core.podspec.paths import descending
from tiffin.api.core.podspec.platform import visited
from tiffin.machinery import field as f
from tiffin.machinery.field import FieldError

MIRROR = "kubernetes.io/config.mirror"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_OF_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
LOCALHOST = "localhost/"
_cost = re.compile("0|-?[1-9][0-9]{0,9}").fullmatch
_DEFAULTS = ("runtime/default", "docker/default")
_PROFILES = (APP_ARMOR, SECCOMP, SECCOMP_OF_CONTAINER)


def names_profiles(annotations: dict[str, str]) -> bool:
    """Whether any of the annotations is a profile of the pod or of a container."""
    return any(key.startswith(_PROFILES) for key in annotations)


def validate_pod_annotations(annotations: dict[str, str], spec: dict[str, Any], path: str) -> list[FieldError]:
    """Violations in the annotations of a pod or template on their own."""
    if not annotations:
        return []
    errors = []
    if MIRROR in annotations and not spec.get("nodeName"):
        errors.append(f.invalid(f"{path}[{MIRROR}]", annotations[MIRROR], "must set spec.nodeName if mirror pod annotation is set"))
    cost = annotations.get(DELETION_COST)
    if cost is not None and not (_cost(cost) and -(2**31) <= int(cost) < 2**31):
        errors.append(f.invalid(f"{path}[{DELETION_COST}]", cost, "must be a 32bit integer"))
    if not names_profiles(annotations):
        return errors
    for key in sorted(annotations):
        if key == SECCOMP or key.startswith(SECCOMP_OF_CONTAINER):
            errors += _validate_seccomp(annotations[key], f"{path}.{key}")
    for key in sorted(key for key in annotations if key.startswith(APP_ARMOR)):
        errors += _validate_app_armor(key, annotations[key], spec, f"{path}[{key}]")
    return errors


def _validate_seccomp(profile: str, path: str) -> list[FieldError]:
    if profile == "unconfined" or profile in _DEFAULTS:
        return []
    if profile.startswith(LOCALHOST):
        return descending(profile.removeprefix(LOCALHOST), path)
    return [f.invalid(path, profile, "must be a valid seccomp profile")]


def _validate_app_armor(key: str, profile: str, spec: dict[str, Any], path: str) -> list[FieldError]:
    errors = []
    if all(container.get("name") != key.removeprefix(APP_ARMOR) for container, _ in visited(spec, "")):
        errors.append(f.invalid(path, key.removeprefix(APP_ARMOR), "container not found"))
    if profile not in ("", "runtime/default", "unconfined") and not profile.startswith(LOCALHOST):
        errors.append(f.invalid(path, profile, f"invalid AppArmor profile name: {f.quoted(profile)}"))
    return errors


def validate_profiles_match(annotations: dict[str, str], spec: dict[str, Any], path: str) -> list[FieldError]:
    """Profiles in annotations against those in fields, of a pod that is created or a template; `path` is that of the spec."""
    if not names_profiles(annotations):
        return []
    context, at = spec.get("securityContext") or {}, f"{path}.securityContext"
    errors = _compare(annotations.get(SECCOMP), context.get("seccompProfile"), f"{at}.seccompProfile", "seccomp", _DEFAULTS)
    for container, here in visited(spec, path):
        own, note = container.get("securityContext") or {}, annotations.get(SECCOMP_OF_CONTAINER + (container.get("name") or ""))
        errors += _compare(note, own.get("seccompProfile"), f"{here}.securityContext.seccompProfile", "seccomp", _DEFAULTS)
    if (spec.get("os") or {}).get("name") == "windows":
        return errors
    for container, here in visited(spec, path):
        own, note = container.get("securityContext") or {}, annotations.get(APP_ARMOR + (container.get("name") or ""))
        profile = own.get("appArmorProfile") or context.get("appArmorProfile")
        errors += _compare(note, profile, f"{here}.securityContext.appArmorProfile", "apparmor", _DEFAULTS[:1])
    return errors


def _compare(note: str | None, profile: dict[str, Any] | None, path: str, what: str, defaults: tuple[str, ...]) -> list[FieldError]:
    if note is None or profile is None:
        return []
    kind = profile.get("type")
    fits = {"Unconfined": note == "unconfined", "RuntimeDefault": note in defaults, "Localhost": note.startswith(LOCALHOST)}
    if not fits.get(kind or "", True):
        return [f.forbidden(f"{path}.type", f"{what} type in annotation and field must match")]
    if kind == "Localhost" and profile.get("localhostProfile") != note.removeprefix(LOCALHOST):
        return [f.forbidden(f"{path}.localhostProfile", f"{what} profile in annotation and field must match")]
    return []
