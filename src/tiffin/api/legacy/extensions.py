"""extensions/v1beta1: where Deployments, Ingresses and NetworkPolicies began; served until 1.15, its Ingress until 1.21."""
from __future__ import annotations

from tiffin.api.legacy import ingress
from tiffin.api.legacy import workloads as w
from tiffin.api.legacy.definitions import Package
from tiffin.api.legacy.podsecuritypolicy import EXTENSIONS as _POLICY
from tiffin.api.legacy.retired import Retired

_APPS = Package(
    "extensions.v1beta1", "extensions", "v1beta1", "apps.v1", ("DaemonSet", "Deployment", "DeploymentRollback", "ReplicaSet"),
    {**w.ROLLBACK_CHANGES, "DaemonSetSpec": {"selector": w.OPTIONAL_SELECTOR, "templateGeneration": "l"},
     "ReplicaSetSpec": {"selector": w.OPTIONAL_SELECTOR}},
    texts={**w.ROLLBACK_TEXTS, "DaemonSetSpec": {"templateGeneration": "Counts the changes of the template. Only the server writes it."}})
_NETWORKING = Package("extensions.v1beta1", "extensions", "v1beta1", "networking.v1", ("Ingress", "NetworkPolicy"), ingress.CHANGES, texts=ingress.TEXTS)
_SCALE = Package("extensions.v1beta1", "extensions", "v1beta1", "autoscaling.v1", ("Scale",), w.SCALE_CHANGES, texts=w.SCALE_TEXTS)
_scale = (w.scale_in(_SCALE),)

PACKAGES = (_APPS, _NETWORKING, _SCALE)
VERSIONS = (
    Retired("daemonsets.apps", _APPS, "1.8", "1.16", from_stored=w.daemonset_from_v1, to_stored=w.daemonset_to_v1, default=w.on_delete),
    Retired(
        "deployments.apps", _APPS, "1.8", "1.16", from_stored=w.deployment_from_v1, to_stored=w.deployment_to_v1, default=w.first_deployment,
        subresources=(*_scale, w.rollback_in(_APPS))),
    Retired("replicasets.apps", _APPS, "1.8", "1.16", default=w.labels_of_template, subresources=_scale),
    Retired("ingresses.networking.k8s.io", _NETWORKING, "1.14", "1.22", from_stored=ingress.from_v1, to_stored=ingress.to_v1, default=ingress.default),
    Retired("networkpolicies.networking.k8s.io", _NETWORKING, "1.9", "1.16"),
    Retired("podsecuritypolicies.policy", _POLICY, "1.11", "1.16", "policy/v1beta1 PodSecurityPolicy"),
)
