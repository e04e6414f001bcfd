"""rbac.authorization.k8s.io/v1alpha1 (from 1.5) and v1beta1 (from 1.6), both served until 1.21.

In v1alpha1 a subject names its group with the version, as `apiVersion`, and the user `*` is everybody who is known.
"""
from __future__ import annotations

from typing import Any

from tiffin.api.legacy.definitions import Package
from tiffin.api.legacy.retired import Retired, changed, each, every
from tiffin.machinery.object import Object

_GROUP = "rbac.authorization.k8s.io"
_KINDS = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
_PLURALS = ("clusterroles", "clusterrolebindings", "roles", "rolebindings")
_V1ALPHA1 = Package("rbac.v1alpha1", _GROUP, "v1alpha1", "rbac.v1", _KINDS, {"Subject": {"apiGroup": None, "apiVersion": "s"}},
    texts={"Subject": {"apiVersion": "The group and version of the subject: v1 for service accounts, this one for users and groups."}})
_V1BETA1 = Package("rbac.v1beta1", _GROUP, "v1beta1", "rbac.v1", _KINDS)


def _new_subject(old: dict[str, Any]) -> dict[str, Any]:
    kind, version = old.get("kind"), old.get("apiVersion") or ""
    rest = {key: value for key, value in old.items() if key != "apiVersion"}
    if kind == "User" and old.get("name") == "*":
        return {**rest, "kind": "Group", "apiGroup": _GROUP, "name": "system:authenticated"}
    if kind == "ServiceAccount":
        return rest
    group = _GROUP if kind in ("User", "Group") else version.rpartition("/")[0]
    return {**rest, "apiGroup": group} if group else rest


def _old_subject(new: dict[str, Any]) -> dict[str, Any]:
    kind, group = new.get("kind"), new.get("apiGroup")
    rest = {key: value for key, value in new.items() if key != "apiGroup"}
    version = "v1" if kind == "ServiceAccount" else f"{_GROUP}/v1alpha1" if kind in ("User", "Group") else f"{group}/" if group else ""
    return {**rest, "apiVersion": version} if version else rest


def _to_v1(obj: Object) -> Object:
    return changed(obj, ("subjects",), every(_new_subject))


def _from_v1(obj: Object) -> Object:
    return changed(obj, ("subjects",), every(_old_subject))


PACKAGES = (_V1ALPHA1, _V1BETA1)
VERSIONS = (
    *each(_V1ALPHA1, _GROUP, "1.17", "1.22", "clusterroles", "roles"),
    *(Retired(f"{plural}.{_GROUP}", _V1ALPHA1, "1.17", "1.22", from_stored=_from_v1, to_stored=_to_v1) for plural in ("clusterrolebindings", "rolebindings")),
    *each(_V1BETA1, _GROUP, "1.17", "1.22", *_PLURALS),
)
