"""ServiceAccount: an identity for pods. Of the secrets it names only the names are kept."""
from __future__ import annotations

from tiffin.api.kind import Context, Kind, Subresource
from tiffin.machinery.object import Object, annotations_of

MOUNTABLE_SECRETS = "kubernetes.io/enforce-mountable-secrets"


def _keep_secret_names(obj: Object) -> None:
    if obj.get("secrets"):
        obj["secrets"] = [{"name": reference["name"]} if reference.get("name") else {} for reference in obj["secrets"]]


def prepare_for_create(obj: Object, context: Context) -> None:
    _keep_secret_names(obj)


def prepare_for_update(new: Object, old: Object, context: Context) -> None:
    _keep_secret_names(new)


def warnings(new: Object, old: Object | None) -> list[str]:
    """Only who sets the annotation anew is told."""
    if MOUNTABLE_SECRETS not in annotations_of(new) or MOUNTABLE_SECRETS in annotations_of(old or {}):
        return []
    return [f"metadata.annotations[{MOUNTABLE_SECRETS}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"]


KIND = Kind(
    group="",
    version="v1",
    kind="ServiceAccount",
    plural="serviceaccounts",
    schema="io.k8s.api.core.v1.ServiceAccount",
    singular="serviceaccount",
    metadata_checks="um",
    returns_deleted=True,
    short_names=("sa",),
    subresources=(Subresource("token", verbs=("create",), body=("authentication.k8s.io", "v1", "TokenRequest")),),
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    warnings=warnings,
)
