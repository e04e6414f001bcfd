"""Priority: a pod's priority class becomes a number; only one class is the default; system classes stay.

Source: Kubernetes documentation "Pod Priority and Preemption".
"""

from __future__ import annotations

from tiffin.apiserver.admission.attributes import AdmissionAttributes, forbidden
from tiffin.apiserver.admission.chain import Plugin
from tiffin.apiserver.ports import Reader
from tiffin.machinery.object import Object, Resource, name_of

PRIORITY_CLASSES = Resource("scheduling.k8s.io", "v1", "priorityclasses")

SYSTEM_CLASSES = frozenset(("system-node-critical", "system-cluster-critical"))
"""Every cluster has these; they are written at start."""


class Priority(Plugin):
    resources = ("pods", "priorityclasses.scheduling.k8s.io")
    operations = ("CREATE", "UPDATE", "DELETE")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def admit(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if a.group_resource == "pods" and a.operation == "CREATE" and not a.subresource and obj is not None:
            self._resolve(a, obj)

    def validate(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if a.group_resource == "pods" or a.subresource:
            return
        if a.operation == "DELETE":
            if a.name in SYSTEM_CLASSES:
                raise forbidden(a, old, "this is a system priority class and cannot be deleted")
        elif obj is not None and obj.get("globalDefault"):
            default = self._default()
            if default is not None and name_of(default) != name_of(obj):
                message = f"PriorityClass {name_of(default)} is already marked as default. Only one default can exist"
                raise forbidden(a, obj, message)

    def _resolve(self, a: AdmissionAttributes, obj: Object) -> None:
        spec = obj["spec"]
        name = spec.get("priorityClassName")
        found = self._reader.get(PRIORITY_CLASSES, "", name) if name else self._default()
        if name and found is None:
            raise forbidden(a, obj, f"no PriorityClass with name {name} was found")
        value = found["value"] if found else 0
        policy = (found or {}).get("preemptionPolicy") or "PreemptLowerPriority"
        if found:
            spec["priorityClassName"] = name_of(found)
        if spec.get("priority") not in (None, value):
            raise forbidden(
                a,
                obj,
                f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
                f"priority admission controller computed {value} from the given PriorityClass name",
            )
        if spec.get("preemptionPolicy") not in (None, policy):
            raise forbidden(
                a,
                obj,
                f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec; "
                f"priority admission controller computed {policy} from the given PriorityClass name",
            )
        spec["priority"], spec["preemptionPolicy"] = value, policy

    def _default(self) -> Object | None:
        """The class of pods that name none: of several defaults the one with the lowest value."""
        defaults = (c for c in self._reader.list(PRIORITY_CLASSES) if c.get("globalDefault"))
        return min(defaults, key=lambda c: c["value"], default=None)
