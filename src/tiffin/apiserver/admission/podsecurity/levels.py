"""Levels and versions of the Pod Security Standards, and the policy that a namespace's labels ask for. Pure.

Labels are `pod-security.kubernetes.io/<mode>` and `…/<mode>-version`, with the modes enforce, audit and warn. A label that cannot be
read makes enforcing strict and the other modes silent. A namespace that enforces without saying what to warn of is warned of the same.
Source: KEP-2579; Kubernetes documentation "Pod Security Admission".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from tiffin.machinery.field import FieldError, invalid

LEVELS = ("privileged", "baseline", "restricted")
PREFIX = "pod-security.kubernetes.io/"
LATEST = 1 << 30
"""The version "latest": newer than any number."""
_version = re.compile(r"v1\.(0|[1-9][0-9]*)", re.ASCII).fullmatch


class Standard(NamedTuple):
    """A level in a version; `minor` is the Kubernetes version 1.<minor>."""

    level: str
    minor: int

    def __str__(self) -> str:
        return f"{self.level}:{'latest' if self.minor == LATEST else f'v1.{self.minor}'}"

    @property
    def strictness(self) -> int:
        return LEVELS.index(self.level)


PRIVILEGED = Standard("privileged", LATEST)


class Policy(NamedTuple):
    """What a namespace asks for."""

    enforce: Standard = PRIVILEGED
    audit: Standard = PRIVILEGED
    warn: Standard = PRIVILEGED

    @property
    def is_open(self) -> bool:
        return all(standard.level == "privileged" for standard in self)

    def __str__(self) -> str:
        return ", ".join(f"{mode}={standard}" for mode, standard in zip(self._fields, self) if standard.level != "privileged")


def policy_of(labels: Mapping[str, str], default: Policy) -> tuple[Policy, list[FieldError]]:
    """The policy of a namespace with these labels, and what is wrong with them."""
    if not any(label.startswith(PREFIX) for label in labels):
        return default, []
    errors: list[FieldError] = []
    asked = {mode: _asked(labels, mode, getattr(default, mode), errors) for mode in Policy._fields}
    policy = Policy(**asked)
    enforces = labels.get(f"{PREFIX}enforce") in LEVELS
    if enforces and f"{PREFIX}warn" not in labels and policy.enforce.strictness > policy.warn.strictness:
        minor = policy.warn.minor if f"{PREFIX}warn-version" in labels else policy.enforce.minor
        policy = policy._replace(warn=Standard(policy.enforce.level, minor))
    return policy, errors


def _asked(labels: Mapping[str, str], mode: str, default: Standard, errors: list[FieldError]) -> Standard:
    label = f"{PREFIX}{mode}"
    level, minor = default
    if label in labels:
        level = labels[label]
        if level not in LEVELS:
            errors.append(invalid(f"metadata.labels[{label}]", level, f"must be one of {', '.join(LEVELS)}"))
            level = "restricted" if mode == "enforce" else "privileged"
    if f"{label}-version" in labels:
        text = labels[f"{label}-version"]
        match = _version(text)
        minor = min(int(match[1]), LATEST) if match else LATEST
        if not match and text != "latest":
            errors.append(invalid(f"metadata.labels[{label}-version]", text, 'must be "latest" or "v1.x"'))
    return Standard(level, minor)
