"""apps/v1beta1 (from 1.5) and apps/v1beta2 (from 1.8), both served until 1.15."""
from __future__ import annotations

from tiffin.api.legacy import workloads as w
from tiffin.api.legacy.definitions import Package
from tiffin.api.legacy.retired import Retired, each

_V1BETA1 = Package(
    "apps.v1beta1", "apps", "v1beta1", "apps.v1", ("ControllerRevision", "Deployment", "StatefulSet", "DeploymentRollback"),
    {**w.ROLLBACK_CHANGES, "StatefulSetSpec": {"selector": w.OPTIONAL_SELECTOR}}, texts=w.ROLLBACK_TEXTS)
_SCALE1 = Package("apps.v1beta1", "apps", "v1beta1", "autoscaling.v1", ("Scale",), w.SCALE_CHANGES, texts=w.SCALE_TEXTS)
_V1BETA2 = Package("apps.v1beta2", "apps", "v1beta2", "apps.v1", ("ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"))
_SCALE2 = Package("apps.v1beta2", "apps", "v1beta2", "autoscaling.v1", ("Scale",), w.SCALE_CHANGES, texts=w.SCALE_TEXTS)
_scale1, _scale2 = (w.scale_in(_SCALE1),), (w.scale_in(_SCALE2),)

PACKAGES = (_V1BETA1, _SCALE1, _V1BETA2, _SCALE2)
VERSIONS = (
    *each(_V1BETA1, "apps", "1.8", "1.16", "controllerrevisions"),
    Retired(
        "deployments.apps", _V1BETA1, "1.8", "1.16", from_stored=w.deployment_from_v1, to_stored=w.deployment_to_v1, default=w.second_deployment,
        subresources=(*_scale1, w.rollback_in(_V1BETA1))),
    Retired("statefulsets.apps", _V1BETA1, "1.8", "1.16", default=w.on_delete, subresources=_scale1),
    *each(_V1BETA2, "apps", "1.9", "1.16", "controllerrevisions", "daemonsets"),
    *(Retired(f"{plural}.apps", _V1BETA2, "1.9", "1.16", subresources=_scale2) for plural in ("deployments", "replicasets", "statefulsets")),
)
