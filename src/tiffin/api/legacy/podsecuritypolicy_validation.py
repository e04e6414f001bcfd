"""What a PodSecurityPolicy must be. Source: the validation of Kubernetes 1.24, whose order and words it keeps."""
from __future__ import annotations

import re
from typing import Any

from tiffin.api.checks import not_supported
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, invalid, required
from tiffin.machinery.object import Object, annotations_of

Spec = dict[str, Any]
APPARMOR_ALLOWED, APPARMOR_DEFAULT = (f"apparmor.security.beta.kubernetes.io/{end}" for end in ("allowedProfileNames", "defaultProfileName"))
SECCOMP_ALLOWED, SECCOMP_DEFAULT = (f"seccomp.security.alpha.kubernetes.io/{end}" for end in ("allowedProfileNames", "defaultProfileName"))
VOLUMES = (
    "*", "awsElasticBlockStore", "azureDisk", "azureFile", "cephFS", "cinder", "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "fc",
    "flexVolume", "flocker", "gcePersistentDisk", "gitRepo", "glusterfs", "hostPath", "image", "iscsi", "nfs", "none", "persistentVolumeClaim",
    "photonPersistentDisk", "portworxVolume", "projected", "quobyte", "rbd", "scaleIO", "secret", "storageos", "vsphereVolume",
)
_ANY, _MUST, _MAY = "RunAsAny", "MustRunAs", "MayRunAs"
_GROUP_RULES = (_MAY, _MUST, _ANY)
_SYSCTL_PART = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL_PATTERN = f"({_SYSCTL_PART}[\\./])*([a-z0-9][-_a-z0-9]*)?[a-z0-9*]"
_sysctl = re.compile(f"({_SYSCTL_PATTERN})\\Z").match
_apparmor = re.compile(r"(runtime/default|unconfined|localhost/.+)\Z").match
_seccomp = re.compile(r"(docker/default|runtime/default|unconfined|localhost/.+)\Z").match
LONGEST_SYSCTL = 253


def policy_errors(policy: Object) -> list[FieldError]:
    spec = policy.get("spec") or {}
    errors = _annotation_errors(dict(annotations_of(policy)), "metadata.annotations")
    errors += _rule_errors(spec.get("runAsUser") or {}, "spec.runAsUser", (_MUST, "MustRunAsNonRoot", _ANY))
    if spec.get("runAsGroup") is not None:
        errors += _rule_errors(spec["runAsGroup"], "spec.runAsGroup", _GROUP_RULES)
    rule = (spec.get("seLinux") or {}).get("rule", "")
    errors += [] if rule in (_MUST, _ANY) else [not_supported("spec.seLinux.rule", rule, (_MUST, _ANY))]
    for field in ("supplementalGroups", "fsGroup"):
        errors += _rule_errors(spec.get(field) or {}, f"spec.{field}", _GROUP_RULES)
    errors += [not_supported(f"spec.volumes[{i}]", kind, VOLUMES) for i, kind in enumerate(spec.get("volumes") or ()) if kind not in VOLUMES]
    return errors + _capability_errors(spec) + _escalation_errors(spec) + _host_path_errors(spec) + _sysctl_errors(spec) + _runtime_errors(spec)


def _annotation_errors(notes: dict[str, str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for key, matches, words in ((APPARMOR_DEFAULT, _apparmor, "invalid AppArmor profile name"), (APPARMOR_ALLOWED, _apparmor, "invalid AppArmor profile name"),
                                (SECCOMP_DEFAULT, _seccomp, "must be a valid seccomp profile"), (SECCOMP_ALLOWED, _seccomp, "must be a valid seccomp profile")):
        several = key in (APPARMOR_ALLOWED, SECCOMP_ALLOWED)
        for profile in (notes[key].split(",") if several else [notes[key]]) if key in notes else ():
            if not matches(profile) and not (several and profile == "*" and key == SECCOMP_ALLOWED):
                errors.append(invalid(f"{path}[{key}]", profile, f"{words}: {profile!r}" if matches is _apparmor else words))
    return errors


def _rule_errors(strategy: Spec, path: str, rules: tuple[str, ...]) -> list[FieldError]:
    rule = strategy.get("rule", "")
    errors = [] if rule in rules else [not_supported(f"{path}.rule", rule, rules)]
    for index, ids in enumerate(strategy.get("ranges") or ()):
        here, low, high = f"{path}.ranges[{index}]", ids.get("min", 0), ids.get("max", 0)
        if low < 0:
            errors.append(invalid(f"{here}.min", low, "min cannot be negative"))
        if high < 0:
            errors.append(invalid(f"{here}.max", high, "max cannot be negative"))
        if low > high:
            errors.append(invalid(f"{here}.min", low, "min cannot be greater than max"))
    return errors


def _capability_errors(spec: Spec) -> list[FieldError]:
    dropped, errors = spec.get("requiredDropCapabilities") or [], []
    if dropped and "*" in (spec.get("allowedCapabilities") or ()):
        errors.append(invalid("spec.requiredDropCapabilities", dropped, "must be empty when all capabilities are allowed by a wildcard"))
    for field in ("defaultAddCapabilities", "allowedCapabilities"):
        errors += [
            invalid(f"spec.{field}", capability, f"capability is listed in {field} and requiredDropCapabilities")
            for capability in spec.get(field) or () if capability in dropped]
    return errors


def _escalation_errors(spec: Spec) -> list[FieldError]:
    errors: list[FieldError] = []
    if spec.get("defaultAllowPrivilegeEscalation") and spec.get("allowPrivilegeEscalation") is False:
        words = "Cannot set DefaultAllowPrivilegeEscalation to true without also setting AllowPrivilegeEscalation to true"
        errors.append(invalid("spec.defaultAllowPrivilegeEscalation", True, words))
    known = ("Default", "Unmasked", "*")
    return errors + [
        not_supported(f"spec.allowedProcMountTypes[{i}]", kind, known)
        for i, kind in enumerate(spec.get("allowedProcMountTypes") or ()) if kind not in known]


def _host_path_errors(spec: Spec) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, allowed in enumerate(spec.get("allowedHostPaths") or ()):
        here, prefix = f"spec.allowedHostPaths[{index}]", allowed.get("pathPrefix") or ""
        if not prefix:
            errors.append(required(here, "is required"))
        if ".." in prefix.split("/"):
            errors.append(invalid(f"{here}.pathPrefix", prefix, "must not contain '..'"))
    for index, driver in enumerate(spec.get("allowedFlexVolumes") or ()):
        if not driver.get("driver"):
            errors.append(required(f"spec.allowedFlexVolumes[{index}].driver", "must specify a driver"))
    return errors


def _sysctl_errors(spec: Spec) -> list[FieldError]:
    errors: list[FieldError] = []
    for field in ("allowedUnsafeSysctls", "forbiddenSysctls"):
        for index, pattern in enumerate(spec.get(field) or ()):
            if len(pattern) > LONGEST_SYSCTL or not (_sysctl(pattern) or pattern == "*"):
                words = f"must have at most {LONGEST_SYSCTL} characters and match regex ^{_SYSCTL_PATTERN}$"
                errors.append(invalid(f"spec.{field}[{index}]", pattern, words))
    for i, allowed in enumerate(spec.get("allowedUnsafeSysctls") or ()):
        for j, forbidden in enumerate(spec.get("forbiddenSysctls") or ()):
            one, other = allowed.rstrip("*"), forbidden.rstrip("*")
            if allowed == forbidden or (forbidden.endswith("*") and one.startswith(other)) or (allowed.endswith("*") and other.startswith(one)):
                errors.append(invalid(f"spec.allowedUnsafeSysctls[{i}]", allowed, f"sysctl overlaps with spec.forbiddenSysctls[{j}]"))
    return errors


def _runtime_errors(spec: Spec) -> list[FieldError]:
    strategy = spec.get("runtimeClass")
    if strategy is None:
        return []
    errors: list[FieldError] = []
    allowed, usual = strategy.get("allowedRuntimeClassNames") or [], strategy.get("defaultRuntimeClassName")
    for index, name in enumerate(allowed):
        here = f"spec.runtimeClass.allowedRuntimeClassNames[{index}]"
        errors += [] if name == "*" else [invalid(here, name, words) for words in names.is_dns1123_subdomain(name)]
        if name in allowed[:index]:
            errors.append(FieldError("FieldValueDuplicate", here, f'Duplicate value: "{name}"'))
    if usual is not None:
        here = "spec.runtimeClass.defaultRuntimeClassName"
        errors += [invalid(here, usual, words) for words in names.is_dns1123_subdomain(usual)]
        if usual not in allowed and "*" not in allowed:
            errors.append(required(here, f"default {usual} must be included in allowedRuntimeClassNames"))
    return errors
