"""Administrator's access to devices: claims may ask for it, and be given it, only in namespaces whose label allows it.

Kubernetes counts this among the rules of the claim itself; it stands here because it has to look at the namespace.
"""

from __future__ import annotations

from tiffin.api.resource.resourceclaim import KIND as CLAIM
from tiffin.api.resource.resourceclaimtemplate import KIND as TEMPLATE
from tiffin.apiserver.admission.attributes import AdmissionAttributes
from tiffin.apiserver.admission.chain import Plugin
from tiffin.apiserver.admission.evaluation import NAMESPACES
from tiffin.apiserver.ports import Reader
from tiffin.machinery import errors
from tiffin.machinery.field import forbidden
from tiffin.machinery.object import Object, dig, labels_of, name_of

LABEL = "resource.kubernetes.io/admin-access"
_REFUSAL = f"admin access to devices requires the `{LABEL}: true` label on the containing namespace"


class DeviceAdminAccess(Plugin):
    resources = (CLAIM.group_resource, TEMPLATE.group_resource)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def validate(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        asked = _asked(a, obj) if obj is not None else ""
        if not asked or (old is not None and _asked(a, old)):
            return
        namespace = self._reader.get(NAMESPACES, "", a.namespace)
        if namespace is None or labels_of(namespace).get(LABEL) != "true":
            raise errors.invalid(a.kind, a.resource.group, name_of(obj or {}), [forbidden(asked, _REFUSAL)])


def _asked(a: AdmissionAttributes, obj: Object) -> str:
    """The first field that asks for access (or, in a status, gives it); empty when there is none."""
    if a.subresource == "status":
        results = dig(obj, "status", "allocation", "devices", "results", default=[])
        given = [f"status.allocation.devices.results[{i}].adminAccess" for i, result in enumerate(results) if result.get("adminAccess")]
        return given[0] if given else ""
    spec = dig(obj, "spec", "spec", default={}) if a.resource.plural == TEMPLATE.plural else obj.get("spec") or {}
    requests = dig(spec, "devices", "requests", default=[])
    asked = [f"spec.devices.requests[{i}].adminAccess" for i, r in enumerate(requests) if dig(r, "exactly", "adminAccess")]
    return asked[0] if asked else ""
