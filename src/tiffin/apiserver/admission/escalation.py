"""The check that nobody grants what they do not have, at its place in the chain: after all that may still change the object."""

from __future__ import annotations

from tiffin.apiserver.admission.attributes import AdmissionAttributes
from tiffin.apiserver.admission.chain import Plugin
from tiffin.apiserver.authz.authorizer import Authorizer
from tiffin.apiserver.authz.escalation import check_escalation
from tiffin.apiserver.authz.rbac import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from tiffin.machinery.object import Object


class EscalationCheck(Plugin):
    """Refuses roles and bindings beyond their author's rights, before they are validated, as Kubernetes does."""

    resources = tuple(r.group_resource for r in (ROLES, ROLE_BINDINGS, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS))

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def admit(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if obj is not None and not a.subresource:
            check_escalation(self._authorizer, a.user, a.resource.plural, a.namespace, obj, old)
