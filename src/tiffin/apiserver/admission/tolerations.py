"""Small plugins about taints: DefaultTolerationSeconds for pods, TaintNodesByCondition for new nodes."""

from __future__ import annotations

from typing import Any

from tiffin.apiserver.admission.attributes import AdmissionAttributes
from tiffin.apiserver.admission.chain import Plugin
from tiffin.machinery.object import Object

NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
SECONDS = 300


class DefaultTolerationSeconds(Plugin):
    """Pods stay for a while (five minutes) on a node that is not ready or unreachable, unless they say otherwise."""

    resources = ("pods",)

    def __init__(self, not_ready: int = SECONDS, unreachable: int = SECONDS) -> None:
        self._seconds = {NOT_READY: not_ready, UNREACHABLE: unreachable}

    def admit(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if a.subresource or obj is None:
            return
        tolerations = obj["spec"].get("tolerations") or []
        missing = [key for key in (NOT_READY, UNREACHABLE) if not any(_tolerates(t, key) for t in tolerations)]
        if missing and not (a.operation == "UPDATE" and obj["spec"].get("tolerations") == (old or {}).get("spec", {}).get("tolerations")):
            added = [{"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": self._seconds[key]} for key in missing]
            obj["spec"]["tolerations"] = [*tolerations, *added]


def _tolerates(toleration: dict[str, Any], key: str) -> bool:
    return toleration.get("key", "") in ("", key) and toleration.get("effect", "") in ("", "NoExecute")


class TaintNodesByCondition(Plugin):
    """A new node takes no pods until the node controller has seen it ready."""

    resources = ("nodes",)
    operations = ("CREATE",)

    def admit(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if a.subresource or obj is None:
            return
        spec = obj.setdefault("spec", {})
        taint = {"key": NOT_READY, "effect": "NoSchedule"}
        if not any((t.get("key"), t.get("effect")) == (NOT_READY, "NoSchedule") for t in spec.get("taints") or ()):
            spec["taints"] = [*(spec.get("taints") or ()), taint]
