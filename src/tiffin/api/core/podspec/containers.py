"""Validation of containers: regular, init (with sidecars) and ephemeral."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tiffin.api.core.podspec.env import validate_env, validate_env_from
from tiffin.api.core.podspec.mounts import Volumes, validate_devices, validate_mounts
from tiffin.api.core.podspec.probes import validate_lifecycle, validate_probes
from tiffin.api.core.podspec.requirements import validate_requirements, validate_resize_policy
from tiffin.api.core.podspec.resources import is_sidecar
from tiffin.api.core.podspec.security import validate_security_context
from tiffin.machinery import field as f
from tiffin.machinery.field import FieldError
from tiffin.machinery.names import is_dns1123_label, is_valid_port_name, is_valid_port_num

Container = dict[str, Any]

_PROTOCOLS = ("SCTP", "TCP", "UDP")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_RULE_LIMIT, _EXIT_CODE_LIMIT = 20, 255
_NOT_FOR_EPHEMERAL = (
    "ports", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle",
)
_NOT_FOR_INIT = "may not be set for init containers without restartPolicy=Always"
_EPHEMERAL = "cannot be set for an Ephemeral Container"


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What the validation of a container has to know of its pod."""

    volumes: Volumes
    claims: set[str]
    grace: int
    restart_policy: str
    host_users: bool


def _validate_common(container: Container, path: str, pod: PodFacts) -> list[FieldError]:
    """What holds for containers of every sort."""
    errors: list[FieldError] = []
    name = container.get("name") or ""
    errors += [f.invalid(f"{path}.name", name, m) for m in is_dns1123_label(name)] if name else [f.required(f"{path}.name")]
    if not container.get("image"):
        errors.append(f.required(f"{path}.image"))
    errors += _one_of(container, "terminationMessagePolicy", _MESSAGE_POLICIES, path)
    errors += validate_ports(container.get("ports"), f"{path}.ports")
    errors += validate_env(container.get("env"), f"{path}.env")
    errors += validate_env_from(container.get("envFrom"), f"{path}.envFrom")
    errors += validate_mounts(container, pod.volumes, f"{path}.volumeMounts")
    errors += validate_devices(container, pod.volumes, f"{path}.volumeDevices")
    errors += _one_of(container, "imagePullPolicy", _PULL_POLICIES, path)
    errors += validate_requirements(container.get("resources") or {}, pod.claims, f"{path}.resources")
    errors += validate_resize_policy(container.get("resizePolicy"), f"{path}.resizePolicy", pod.restart_policy)
    return errors + validate_security_context(container.get("securityContext"), f"{path}.securityContext", pod.host_users)


def _one_of(container: Container, key: str, supported: tuple[str, ...], path: str) -> list[FieldError]:
    value = container.get(key) or ""
    if value in supported:
        return []
    return [f.not_supported(f"{path}.{key}", value, supported)] if value else [f.required(f"{path}.{key}")]


def validate_ports(ports: list[dict[str, Any]] | None, path: str) -> list[FieldError]:
    """Violations in the ports of a container."""
    errors: list[FieldError] = []
    names: set[str] = set()
    for index, port in enumerate(ports or ()):
        at = f"{path}[{index}]"
        name, number, host = port.get("name") or "", port.get("containerPort") or 0, port.get("hostPort") or 0
        complaints = is_valid_port_name(name) if name else []
        errors += [f.invalid(f"{at}.name", name, m) for m in complaints]
        if name and not complaints:
            if name in names:
                errors.append(f.duplicate(f"{at}.name", name))
            names.add(name)
        errors += [f.invalid(f"{at}.containerPort", number, m) for m in is_valid_port_num(number)] if number else [f.required(f"{at}.containerPort")]
        errors += [f.invalid(f"{at}.hostPort", host, m) for m in is_valid_port_num(host)] if host else []
        protocol = port.get("protocol") or ""
        if protocol not in _PROTOCOLS:
            errors.append(f.not_supported(f"{at}.protocol", protocol, _PROTOCOLS) if protocol else f.required(f"{at}.protocol"))
    return errors


def _host_port_conflicts(containers: list[Container], path: str) -> list[FieldError]:
    errors = []
    taken: set[str] = set()
    for c, container in enumerate(containers):
        for p, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            key = f"{port.get('protocol') or ''}/{port.get('hostIP') or ''}/{port['hostPort']}"
            if key in taken:
                errors.append(f.duplicate(f"{path}[{c}].ports[{p}].hostPort", key))
            taken.add(key)
    return errors


def _validate_hooks_and_probes(container: Container, path: str, pod: PodFacts) -> list[FieldError]:
    return validate_lifecycle(container.get("lifecycle"), f"{path}.lifecycle", pod.grace) + validate_probes(container, path, pod.grace)


def _validate_restart(container: Container, path: str) -> list[FieldError]:
    """A container's own restart policy and rules."""
    errors: list[FieldError] = []
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or ()
    if policy is not None and policy not in _RESTART_POLICIES:
        errors.append(f.not_supported(f"{path}.restartPolicy", policy, _RESTART_POLICIES))
    if policy is None and rules:
        errors.append(f.required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used"))
    if len(rules) > _RULE_LIMIT:
        errors.append(f.too_many(f"{path}.restartPolicyRules", len(rules), _RULE_LIMIT))
    return errors + [e for i, rule in enumerate(rules) for e in _validate_restart_rule(rule, f"{path}.restartPolicyRules[{i}]")]


def _validate_restart_rule(rule: dict[str, Any], path: str) -> list[FieldError]:
    errors = []
    actions, operators = ("Restart", "RestartAllContainers"), ("In", "NotIn")
    if rule.get("action") not in actions:
        errors.append(f.not_supported(f"{path}.action", rule.get("action") or "", actions))
    codes = rule.get("exitCodes")
    if codes is None:
        return [*errors, f.required(f"{path}.exitCodes", "must be specified")]
    if codes.get("operator") not in operators:
        errors.append(f.not_supported(f"{path}.exitCodes.operator", codes.get("operator") or "", operators))
    if len(codes.get("values") or ()) > _EXIT_CODE_LIMIT:
        errors.append(f.too_many(f"{path}.exitCodes.values", len(codes["values"]), _EXIT_CODE_LIMIT))
    return errors


def validate_containers(containers: list[Container] | None, path: str, pod: PodFacts) -> list[FieldError]:
    """Violations in the regular containers, of which there is at least one."""
    if not containers:
        return [f.required(path)]
    errors: list[FieldError] = []
    names: set[str] = set()
    for index, container in enumerate(containers):
        at, name = f"{path}[{index}]", container.get("name") or ""
        errors += _validate_common(container, at, pod)
        if name in names:
            errors.append(f.duplicate(f"{at}.name", name))
        names.add(name)
        errors += _validate_hooks_and_probes(container, at, pod)
        errors += _validate_restart(container, at)
    return errors + _host_port_conflicts(containers, path)


def validate_init_containers(spec: dict[str, Any], path: str, pod: PodFacts) -> list[FieldError]:
    """Violations in the init containers of a pod spec; `path` is that of the list."""
    errors: list[FieldError] = []
    names = {c.get("name") for c in spec.get("containers") or ()}
    for index, container in enumerate(spec.get("initContainers") or ()):
        at, name = f"{path}[{index}]", container.get("name") or ""
        errors += _validate_common(container, at, pod)
        errors += _validate_restart(container, at)
        if name in names:
            errors.append(f.duplicate(f"{at}.name", name))
        elif name:
            names.add(name)
        errors += _host_port_conflicts([container], path)
        if is_sidecar(container):
            errors += _validate_hooks_and_probes(container, at, pod)
        else:
            given = (k for k in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe") if container.get(k) is not None)
            errors += [f.forbidden(f"{at}.{key}", _NOT_FOR_INIT) for key in given]
    return errors


def validate_ephemeral_containers(spec: dict[str, Any], path: str, pod: PodFacts) -> list[FieldError]:
    """Violations in the ephemeral containers of a pod spec; `path` is that of the list."""
    errors: list[FieldError] = []
    targets = {c.get("name") for key in ("containers", "initContainers") for c in spec.get(key) or ()}
    names = set(targets)
    for index, container in enumerate(spec.get("ephemeralContainers") or ()):
        at, name = f"{path}[{index}]", container.get("name") or ""
        errors += _validate_common(container, at, pod)
        errors += validate_image_whitespace(container, at)
        if name in names:
            errors.append(f.duplicate(f"{at}.name", name))
        names.add(name)
        target = container.get("targetContainerName")
        if target and target not in targets:
            errors.append(f.not_found(f"{at}.targetContainerName", target))
        given = [k for k in _NOT_FOR_EPHEMERAL if container.get(k) is not None and (container[k] or k != "resources")]
        errors += [f.forbidden(f"{at}.{key}", _EPHEMERAL) for key in given]
        for m, mount in enumerate(container.get("volumeMounts") or ()):
            errors += [f.forbidden(f"{at}.volumeMounts[{m}].{key}", _EPHEMERAL) for key in ("subPath", "subPathExpr") if mount.get(key)]
    return errors


def validate_image_whitespace(container: Container, path: str) -> list[FieldError]:
    """Pods, unlike templates, may not have an image with whitespace around it."""
    image = container.get("image") or ""
    return [f.invalid(f"{path}.image", image, "must not have leading or trailing whitespace")] if image != image.strip() else []
