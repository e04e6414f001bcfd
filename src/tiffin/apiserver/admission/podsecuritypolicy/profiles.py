"""Seccomp and AppArmor profiles. A policy names them in its annotations; a pod in annotations, as it did in its time, or in its fields."""
from __future__ import annotations

from typing import Any

from tiffin.api.legacy.podsecuritypolicy_validation import APPARMOR_ALLOWED, APPARMOR_DEFAULT, SECCOMP_ALLOWED, SECCOMP_DEFAULT
from tiffin.machinery.field import FieldError, forbidden
from tiffin.machinery.object import Object, annotations_of

Spec = dict[str, Any]
SECCOMP_POD, SECCOMP_CONTAINER = "seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/"
APPARMOR_CONTAINER = "container.apparmor.security.beta.kubernetes.io/"
_TEXTS = {"RuntimeDefault": "runtime/default", "Unconfined": "unconfined"}
_TYPES = {"docker/default": "RuntimeDefault"} | {text: kind for kind, text in _TEXTS.items()}


def profile_text(field: Spec | None) -> str:
    """A profile of a security context as annotations name it."""
    kind = (field or {}).get("type") or ""
    return f"localhost/{(field or {}).get('localhostProfile') or ''}" if kind == "Localhost" else _TEXTS.get(kind, "")


def _field(text: str) -> Spec:
    return {"type": _TYPES[text]} if text in _TYPES else {"type": "Localhost", "localhostProfile": text.removeprefix("localhost/")}


def complete_seccomp(policy: Object, pod: Object) -> None:
    """Gives a pod that names no profile the policy's own, in place."""
    wanted = annotations_of(policy).get(SECCOMP_DEFAULT)
    if wanted and not _pod_seccomp(pod):
        _annotate(pod, SECCOMP_POD, wanted)
        pod["spec"].setdefault("securityContext", {})["seccompProfile"] = _field(wanted)


def complete_apparmor(policy: Object, pod: Object, container: Spec) -> None:
    wanted = annotations_of(policy).get(APPARMOR_DEFAULT)
    if wanted and not _apparmor(pod, container):
        _annotate(pod, APPARMOR_CONTAINER + container["name"], wanted)
        container.setdefault("securityContext", {})["appArmorProfile"] = _field(wanted)


def _annotate(pod: Object, key: str, value: str) -> None:
    metadata = pod["metadata"]
    metadata["annotations"] = {**(metadata.get("annotations") or {}), key: value}


def _pod_seccomp(pod: Object) -> str:
    return annotations_of(pod).get(SECCOMP_POD) or profile_text((pod["spec"].get("securityContext") or {}).get("seccompProfile"))


def _apparmor(pod: Object, container: Spec) -> str:
    own, whole = ((place.get("securityContext") or {}).get("appArmorProfile") for place in (container, pod["spec"]))
    return annotations_of(pod).get(APPARMOR_CONTAINER + container["name"]) or profile_text(own) or profile_text(whole)


def pod_seccomp_errors(policy: Object, pod: Object) -> list[FieldError]:
    return _seccomp_errors(policy, _pod_seccomp(pod), SECCOMP_POD)


def container_seccomp_errors(policy: Object, pod: Object, container: Spec) -> list[FieldError]:
    key = SECCOMP_CONTAINER + container["name"]
    own = annotations_of(pod).get(key) or profile_text((container.get("securityContext") or {}).get("seccompProfile"))
    return _seccomp_errors(policy, own or _pod_seccomp(pod), key)


def _seccomp_errors(policy: Object, profile: str, key: str) -> list[FieldError]:
    text = annotations_of(policy).get(SECCOMP_ALLOWED, "")
    allowed = text.split(",") if text else []
    known = {"docker/default", "runtime/default"}
    if "*" in allowed or profile in allowed or (not allowed and not profile) or (profile in known and known & set(allowed)):
        return []
    words = f"{profile} is not an allowed seccomp profile. Valid values are {text}"
    return [forbidden(f"pod.metadata.annotations[{key}]", words)]


def apparmor_errors(policy: Object, pod: Object, container: Spec) -> list[FieldError]:
    text = annotations_of(policy).get(APPARMOR_ALLOWED)
    if not text:
        return []
    profile, path = _apparmor(pod, container), f"pod.metadata.annotations[{APPARMOR_CONTAINER}{container['name']}]"
    if not profile:
        return [forbidden(path, "AppArmor profile must be set")]
    return [] if profile in text.split(",") else [forbidden(path, f'{profile} is not an allowed profile. Allowed values: "{text}"')]
