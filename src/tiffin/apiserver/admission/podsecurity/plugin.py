"""The PodSecurity admission plugin.

Rules
* Pods are refused for what their namespace enforces; for what it warns of and audits, pods and everything that makes pods get warnings
  and audit annotations. Of an update only what may change a pod's rights is looked at: images, new containers, seccomp annotations.
* Labels of namespaces have to be readable. Who makes a namespace stricter is told which of its pods would not get in.
* Exempted users, namespaces and runtime classes pass without being looked at.
Source: KEP-2579; pod-security-admission as answers of a reference server show it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from tiffin.apiserver.admission.attributes import AdmissionAttributes, forbidden
from tiffin.apiserver.admission.chain import Plugin
from tiffin.apiserver.admission.namespace import NAMESPACES
from tiffin.apiserver.admission.podsecurity.checks import containers
from tiffin.apiserver.admission.podsecurity.levels import PREFIX, Policy, Standard, policy_of
from tiffin.apiserver.admission.podsecurity.standards import violations
from tiffin.apiserver.ports import Reader
from tiffin.machinery import errors
from tiffin.machinery.field import shown
from tiffin.machinery.object import Object, Resource, annotations_of, dig, labels_of, name_of

PODS = Resource("", "v1", "pods")
MOST_PODS = 3000
"""Pods looked at when a namespace gets stricter."""

_TEMPLATES: dict[str, tuple[str, ...]] = {
    "podtemplates": ("template",),
    "replicationcontrollers": ("spec", "template"),
    "replicasets.apps": ("spec", "template"),
    "deployments.apps": ("spec", "template"),
    "statefulsets.apps": ("spec", "template"),
    "daemonsets.apps": ("spec", "template"),
    "jobs.batch": ("spec", "template"),
    "cronjobs.batch": ("spec", "jobTemplate", "spec", "template"),
}
_IGNORED = frozenset(("exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"))
_SECCOMP_POD, _SECCOMP_CONTAINER = "seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/"


@dataclass(frozen=True, slots=True)
class PodSecurityConfiguration:
    """What counts where labels say nothing, and who is not looked at."""

    defaults: Policy = field(default_factory=Policy)
    usernames: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] = frozenset()


PRIVILEGED_BY_DEFAULT = PodSecurityConfiguration()
"""As Kubernetes starts: only labels make a difference."""


class PodSecurity(Plugin):
    resources = ("namespaces", "pods", *_TEMPLATES)

    def __init__(self, reader: Reader, configuration: PodSecurityConfiguration) -> None:
        self._reader, self._configuration = reader, configuration

    def validate(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if obj is None or a.subresource in _IGNORED:
            return
        if a.group_resource == "namespaces":
            if not a.subresource:
                self._namespace(a, obj, old)
        elif a.group_resource == "pods":
            self._pod(a, obj, old)
        elif not a.subresource:
            template = dig(obj, *_TEMPLATES[a.group_resource])
            if template is not None:
                self._evaluate(a, obj, template.get("spec") or {}, annotations_of(template), enforce=False)

    # pods

    def _pod(self, a: AdmissionAttributes, obj: Object, old: Object | None) -> None:
        if old is None or _is_significant(obj, old):
            self._evaluate(a, obj, obj["spec"], annotations_of(obj), enforce=True)

    def _evaluate(self, a: AdmissionAttributes, obj: Object, spec: Mapping[str, Any], annotations: Mapping[str, str], enforce: bool) -> None:
        policy, problems = self._policy(a.namespace)
        if policy.is_open and not problems:
            return
        if reason := self._exemption(a, spec):
            a.annotations[f"{PREFIX}exempt"] = reason
            return
        if problems:
            a.annotations[f"{PREFIX}error"] = f"Failed to parse policy: {errors.invalid('', '', '', problems).message.partition('is invalid: ')[2]}"
        results = {standard: _told(standard, spec, annotations) for standard in {policy.audit, policy.warn, *((policy.enforce,) if enforce else ())}}
        if results[policy.audit]:
            a.annotations[f"{PREFIX}audit-violations"] = f"would {results[policy.audit]}"
        if enforce:
            a.annotations[f"{PREFIX}enforce-policy"] = str(policy.enforce)
            if results[policy.enforce]:
                raise forbidden(a, obj, results[policy.enforce].replace("violate ", "violates ", 1))
        if results[policy.warn]:
            a.warnings.append(f"would {results[policy.warn]}")

    def _policy(self, namespace: str) -> tuple[Policy, list[Any]]:
        return policy_of(labels_of(self._reader.get(NAMESPACES, "", namespace) or {}), self._configuration.defaults)

    def _exemption(self, a: AdmissionAttributes, spec: Mapping[str, Any]) -> str:
        known = self._configuration
        if a.namespace in known.namespaces:
            return "namespace"
        if a.user.name in known.usernames:
            return "user"
        return "runtimeClass" if spec.get("runtimeClassName") in known.runtime_classes else ""

    # namespaces

    def _namespace(self, a: AdmissionAttributes, obj: Object, old: Object | None) -> None:
        new, problems = policy_of(labels_of(obj), self._configuration.defaults)
        before, known = policy_of(labels_of(old or {}), self._configuration.defaults)
        if problems and (old is None or problems != known):
            raise errors.invalid("Namespace", "", name_of(obj), problems)
        if name_of(obj) in self._configuration.namespaces:
            if new != before and not new.is_open:
                a.warnings.append(f"namespace {shown(name_of(obj))} is exempt from Pod Security, and the policy ({new}) will be ignored")
            return
        relaxed = new.enforce.minor == before.enforce.minor and new.enforce.strictness <= before.enforce.strictness
        if old is not None and not relaxed and new.enforce.level != "privileged":
            a.warnings += self._existing(name_of(obj), new.enforce)

    def _existing(self, namespace: str, standard: Standard) -> list[str]:
        """Warnings about the pods of a namespace that would not get in any more, one for all that violate it alike."""
        pods = list(self._reader.list(PODS, namespace))
        first: dict[str, str] = {}
        counts: Counter[str] = Counter()
        for pod in islice(pods, MOST_PODS):
            found = violations(standard, pod["spec"], annotations_of(pod))
            if found and pod["spec"].get("runtimeClassName") not in self._configuration.runtime_classes:
                reason = ", ".join(violation.reason for violation in found)
                first.setdefault(reason, name_of(pod))
                counts[reason] += 1
        warnings = []
        if len(pods) > MOST_PODS:
            warnings.append(f"new PodSecurity enforce level only checked against the first {MOST_PODS} of {len(pods)} existing pods")
        if first:
            warnings.append(f"existing pods in namespace {shown(namespace)} violate the new PodSecurity enforce level {shown(str(standard))}")
        return warnings + sorted(f"{name}{_others(counts[reason] - 1)}: {reason}" for reason, name in first.items())


def _others(count: int) -> str:
    return "" if not count else f" (and {count} other pod{'' if count == 1 else 's'})"


def _told(standard: Standard, spec: Mapping[str, Any], annotations: Mapping[str, str]) -> str:
    found = violations(standard, spec, annotations)
    return f"violate PodSecurity {shown(str(standard))}: {', '.join(map(str, found))}" if found else ""


def _is_significant(new: Object, old: Object) -> bool:
    """Whether an update could give a pod other rights."""
    if annotations_of(new).get(_SECCOMP_POD) != annotations_of(old).get(_SECCOMP_POD):
        return True
    if any(len(new["spec"].get(kind) or ()) != len(old["spec"].get(kind) or ()) for kind in ("containers", "initContainers")):
        return True
    before = {container.get("name"): container for container in containers(old["spec"])}
    return any(_differs(container, before.get(container.get("name")), new, old) for container in containers(new["spec"]))


def _differs(container: Mapping[str, Any], before: Mapping[str, Any] | None, new: Object, old: Object) -> bool:
    if before is None or container.get("image") != before.get("image"):
        return True
    key = f"{_SECCOMP_CONTAINER}{container.get('name')}"
    return annotations_of(new).get(key) != annotations_of(old).get(key)

