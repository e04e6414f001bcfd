"""NamespaceLifecycle: nothing new in a namespace that is missing or going, and some namespaces never go."""

from __future__ import annotations

from tiffin.apiserver.admission.attributes import AdmissionAttributes, forbidden
from tiffin.apiserver.admission.chain import ANY, Plugin
from tiffin.apiserver.ports import Reader
from tiffin.machinery import errors
from tiffin.machinery.object import Object, Resource, dig

NAMESPACES = Resource("", "v1", "namespaces")
IMMORTAL = frozenset(("default", "kube-system", "kube-public"))

_SURVIVORS = frozenset(("subjectaccessreviews.authorization.k8s.io", "localsubjectaccessreviews.authorization.k8s.io"))
"""Questions that are asked in a namespace but leave nothing in it."""


class NamespaceLifecycle(Plugin):
    """Runs first, so that everything after it may count on the namespace."""

    resources = ANY
    operations = ("CREATE", "DELETE")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def admit(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if a.operation != "CREATE" or not a.namespace or a.group_resource in _SURVIVORS:
            return
        namespace = self._reader.get(NAMESPACES, "", a.namespace)
        if namespace is None:
            raise errors.not_found("namespaces", a.namespace)
        if namespace["metadata"].get("deletionTimestamp") or dig(namespace, "status", "phase") == "Terminating":
            message = f"unable to create new content in namespace {a.namespace} because it is being terminated"
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {a.namespace} is being terminated",
                "field": "metadata.namespace",
            }
            raise forbidden(a, obj, message, [cause])

    def validate(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if a.operation == "DELETE" and a.group_resource == "namespaces" and a.name in IMMORTAL:
            raise forbidden(a, old, "this namespace may not be deleted")
