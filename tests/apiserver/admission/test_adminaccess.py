"""Claims ask for an administrator's access to devices only where the namespace allows it."""
from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tiffin.apiserver.admission.adminaccess import LABEL, DeviceAdminAccess
from tiffin.apiserver.admission.attributes import AdmissionAttributes
from tiffin.apiserver.user import User
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Resource

ASKS = {"devices": {"requests": [{"name": "a"}, {"name": "r", "exactly": {"deviceClassName": "c", "adminAccess": True}}]}}
GIVEN = {"allocation": {"devices": {"results": [{"adminAccess": True}]}}}


class Namespaces:
    """Namespaces as a plugin reads them."""

    def __init__(self, **labels):
        self.labels = labels

    def get(self, resource, namespace, name):
        return {"metadata": {"name": name, "labels": self.labels}}


@pytest.mark.parametrize(("plural", "subresource", "obj", "path"), [
    ("resourceclaims", "", {"spec": ASKS}, "spec.devices.requests[1].adminAccess"),
    ("resourceclaimtemplates", "", {"spec": {"spec": ASKS}}, "spec.devices.requests[1].adminAccess"),
    ("resourceclaims", "status", {"spec": ASKS, "status": GIVEN}, "status.allocation.devices.results[0].adminAccess"),
    ("resourceclaims", "", {"spec": {}}, ""),
])
def test_admin_access(plural, subresource, obj, path):
    a = AdmissionAttributes(
        "CREATE", User("u"), "ResourceClaim", Resource("resource.k8s.io", "v1", plural), datetime(2024, 1, 1, tzinfo=UTC), subresource, "n")
    DeviceAdminAccess(Namespaces(**{LABEL: "true"})).validate(a, obj, None)
    if not path:
        DeviceAdminAccess(Namespaces()).validate(a, obj, None)
        return
    with pytest.raises(ApiError) as refused:
        DeviceAdminAccess(Namespaces()).validate(a, obj, None)
    words = f"{path}: Forbidden: admin access to devices requires the `{LABEL}: true` label on the containing namespace"
    assert refused.value.code == 422 and words in refused.value.message
    DeviceAdminAccess(Namespaces()).validate(a, obj, obj)  # what was granted once stays
