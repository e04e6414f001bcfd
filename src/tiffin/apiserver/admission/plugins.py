"""The list of admission plugins of the server, in the order in which they run. To add one: its file, and its line here."""

from __future__ import annotations

from collections.abc import Callable

from tiffin.apiserver.admission.adminaccess import DeviceAdminAccess
from tiffin.apiserver.admission.certificates import CertificateApproval, CertificateSigning, CertificateSubjectRestriction
from tiffin.apiserver.admission.chain import Admission, Plugin
from tiffin.apiserver.admission.claimresize import PersistentVolumeClaimResize
from tiffin.apiserver.admission.classes import DefaultIngressClass, DefaultStorageClass, RuntimeClass, StorageObjectInUseProtection
from tiffin.apiserver.admission.escalation import EscalationCheck
from tiffin.apiserver.admission.externalips import DenyServiceExternalIPs
from tiffin.apiserver.admission.limitranger import LimitRanger
from tiffin.apiserver.admission.matching import Equivalents
from tiffin.apiserver.admission.mutatingpolicies import MutatingPolicies
from tiffin.apiserver.admission.namespace import NamespaceLifecycle
from tiffin.apiserver.admission.noderestriction import NodeRestriction
from tiffin.apiserver.admission.paramaccess import ParameterAccess
from tiffin.apiserver.admission.podsecurity.plugin import PRIVILEGED_BY_DEFAULT, PodSecurity, PodSecurityConfiguration
from tiffin.apiserver.admission.priority import Priority
from tiffin.apiserver.admission.resourcequota import Charge, ResourceQuota
from tiffin.apiserver.admission.serviceaccount import ServiceAccount
from tiffin.apiserver.admission.tolerations import DefaultTolerationSeconds, TaintNodesByCondition
from tiffin.apiserver.admission.topologylabels import PodTopologyLabels
from tiffin.apiserver.admission.validatingpolicies import ValidatingPolicies
from tiffin.apiserver.admission.webhooks import MutatingWebhooks, ValidatingWebhooks
from tiffin.apiserver.authz.authorizer import Authorizer
from tiffin.apiserver.ports import Reader
from tiffin.apiserver.registry import Registry
from tiffin.apiserver.webhooks.client import WebhookClient


def default_plugins(
    reader: Reader, authorizer: Authorizer, registry: Registry, webhooks: WebhookClient, charge: Charge, suffix: Callable[[], str], *,
    allow_external_ips: bool, tolerations: DefaultTolerationSeconds | None = None,
    pod_security: PodSecurityConfiguration = PRIVILEGED_BY_DEFAULT, pod_security_policy: bool = False,
) -> list[Plugin]:
    """The plugins of a server. `charge` stores a charged quota; `suffix` gives the random end of generated volume names."""
    equivalents = Equivalents(registry)
    return [
        NamespaceLifecycle(reader),
        LimitRanger(reader),
        ServiceAccount(reader, suffix),
        NodeRestriction(reader),
        TaintNodesByCondition(),
        PodSecurity(reader, pod_security),
        Priority(reader),
        tolerations or DefaultTolerationSeconds(),
        DefaultStorageClass(reader),
        StorageObjectInUseProtection(),
        PersistentVolumeClaimResize(reader),
        RuntimeClass(reader),
        CertificateApproval(authorizer.authorize),
        CertificateSigning(authorizer.authorize),
        CertificateSubjectRestriction(),
        DefaultIngressClass(reader),
        *([] if allow_external_ips else [DenyServiceExternalIPs()]),
        PodTopologyLabels(reader),
        *(_retired(reader, authorizer) if pod_security_policy else []),
        MutatingPolicies(reader, equivalents, authorizer.authorize),
        MutatingWebhooks(reader, equivalents, webhooks, authorizer.authorize),
        EscalationCheck(authorizer),
        ParameterAccess(reader, registry, authorizer.authorize),
        DeviceAdminAccess(reader),
        ValidatingPolicies(reader, equivalents, authorizer.authorize),
        ValidatingWebhooks(reader, equivalents, webhooks, authorizer.authorize),
        ResourceQuota(reader, charge),
    ]


def _retired(reader: Reader, authorizer: Authorizer) -> list[Plugin]:
    """The plugin that Kubernetes has given up, loaded where it is asked for."""
    from tiffin.apiserver.admission.podsecuritypolicy.plugin import PodSecurityPolicy

    return [PodSecurityPolicy(reader, authorizer.authorize)]


def default_admission(
    reader: Reader, authorizer: Authorizer, registry: Registry, webhooks: WebhookClient, charge: Charge, suffix: Callable[[], str], *,
    allow_external_ips: bool = True, tolerations: DefaultTolerationSeconds | None = None,
    pod_security: PodSecurityConfiguration = PRIVILEGED_BY_DEFAULT, pod_security_policy: bool = False,
) -> Admission:
    """The chain of `default_plugins`. Like Kubernetes it allows external IPs unless told otherwise."""
    return Admission(default_plugins(
        reader, authorizer, registry, webhooks, charge, suffix, allow_external_ips=allow_external_ips, tolerations=tolerations,
        pod_security=pod_security, pod_security_policy=pod_security_policy))
