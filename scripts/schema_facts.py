"""Facts about the API that no published package holds as data: the values of enumerated Go types, a few defaults, and the Go
shapes of the two API groups whose types clients do not compile in (custom resource definitions, API services).

Source: the OpenAPI documents that kube-apiserver v1.36 serves.
"""
from __future__ import annotations

ENUMS: dict[str, str] = {
    "v1.FieldValueErrorReason": "FieldValueDuplicate|FieldValueForbidden|FieldValueInvalid|FieldValueRequired",
    "v1.FailurePolicyType": "Fail|Ignore",
    "v1.MatchPolicyType": "Equivalent|Exact",
    "v1.OperationType": "*|CONNECT|CREATE|DELETE|UPDATE",
    "v1.PatchType": "ApplyConfiguration|JSONPatch",
    "v1.ReinvocationPolicyType": "IfNeeded|Never",
    "v1.ScopeType": "*|Cluster|Namespaced",
    "v1.SideEffectClass": "None|NoneOnDryRun|Some|Unknown",
    "v1.ValidationAction": "Audit|Deny|Warn",
    "v1.DaemonSetUpdateStrategyType": "OnDelete|RollingUpdate",
    "v1.DeploymentStrategyType": "Recreate|RollingUpdate",
    "v1.PodManagementPolicyType": "OrderedReady|Parallel",
    "v1.StatefulSetUpdateStrategyType": "OnDelete|RollingUpdate",
    "v1.CompletionMode": "Indexed|NonIndexed",
    "v1.ConcurrencyPolicy": "Allow|Forbid|Replace",
    "v1.PodFailurePolicyAction": "Count|FailIndex|FailJob|Ignore",
    "v1.PodFailurePolicyOnExitCodesOperator": "In|NotIn",
    "v1.PodReplacementPolicy": "Failed|TerminatingOrFailed",
    "v1.KeyUsage": "any|cert sign|client auth|code signing|content commitment|crl sign|data encipherment|decipher only|digital signature|email protection|encipher only|ipsec end system|ipsec tunnel|ipsec user|key agreement|key encipherment|microsoft sgc|netscape sgc|ocsp signing|s/mime|server auth|signing|timestamping",
    "v1.AppArmorProfileType": "Localhost|RuntimeDefault|Unconfined",
    "v1.AzureDataDiskCachingMode": "None|ReadOnly|ReadWrite",
    "v1.AzureDataDiskKind": "Dedicated|Managed|Shared",
    "v1.ClaimResourceStatus": "ControllerResizeInProgress|ControllerResizeInfeasible|NodeResizeInProgress|NodeResizeInfeasible|NodeResizePending",
    "v1.DNSPolicy": "ClusterFirst|ClusterFirstWithHostNet|Default|None",
    "v1.HostPathType": "|BlockDevice|CharDevice|Directory|DirectoryOrCreate|File|FileOrCreate|Socket",
    "v1.IPFamily": "|IPv4|IPv6",
    "v1.IPFamilyPolicy": "PreferDualStack|RequireDualStack|SingleStack",
    "v1.MountPropagationMode": "Bidirectional|HostToContainer|None",
    "v1.NamespacePhase": "Active|Terminating",
    "v1.NodeInclusionPolicy": "Honor|Ignore",
    "v1.NodePhase": "Pending|Running|Terminated",
    "v1.NodeSelectorOperator": "DoesNotExist|Exists|Gt|In|Lt|NotIn",
    "v1.PersistentVolumeAccessMode": "ReadOnlyMany|ReadWriteMany|ReadWriteOnce|ReadWriteOncePod",
    "v1.PersistentVolumeClaimModifyVolumeStatus": "InProgress|Infeasible|Pending",
    "v1.PersistentVolumeClaimPhase": "Bound|Lost|Pending",
    "v1.PersistentVolumeMode": "Block|Filesystem",
    "v1.PersistentVolumePhase": "Available|Bound|Failed|Pending|Released",
    "v1.PersistentVolumeReclaimPolicy": "Delete|Recycle|Retain",
    "v1.PodFSGroupChangePolicy": "Always|OnRootMismatch",
    "v1.PodPhase": "Failed|Pending|Running|Succeeded|Unknown",
    "v1.PodQOSClass": "BestEffort|Burstable|Guaranteed",
    "v1.PreemptionPolicy": "Never|PreemptLowerPriority",
    "v1.ProcMountType": "Default|Unmasked",
    "v1.Protocol": "SCTP|TCP|UDP",
    "v1.PullPolicy": "Always|IfNotPresent|Never",
    "v1.ResourceQuotaScope": "BestEffort|CrossNamespacePodAffinity|NotBestEffort|NotTerminating|PriorityClass|Terminating|VolumeAttributesClass",
    "v1.RestartPolicy": "Always|Never|OnFailure",
    "v1.ScopeSelectorOperator": "DoesNotExist|Exists|In|NotIn",
    "v1.SeccompProfileType": "Localhost|RuntimeDefault|Unconfined",
    "v1.ServiceAffinity": "ClientIP|None",
    "v1.ServiceExternalTrafficPolicy": "Cluster|Local",
    "v1.ServiceInternalTrafficPolicy": "Cluster|Local",
    "v1.ServiceType": "ClusterIP|ExternalName|LoadBalancer|NodePort",
    "v1.SupplementalGroupsPolicy": "Merge|Strict",
    "v1.TaintEffect": "NoExecute|NoSchedule|PreferNoSchedule",
    "v1.TerminationMessagePolicy": "FallbackToLogsOnError|File",
    "v1.TolerationOperator": "Equal|Exists|Gt|Lt",
    "v1.URIScheme": "HTTP|HTTPS",
    "v1.UnsatisfiableConstraintAction": "DoNotSchedule|ScheduleAnyway",
    "v1.AddressType": "FQDN|IPv4|IPv6",
    "v1.PathType": "Exact|ImplementationSpecific|Prefix",
    "v1.PolicyType": "Egress|Ingress",
    "v1.UnhealthyPodEvictionPolicyType": "AlwaysAllow|IfHealthyBudget",
    "v1.AllocationConfigSource": "FromClaim|FromClass",
    "v1.DeviceAllocationMode": "All|ExactCount",
    "v1.DeviceTaintEffect": "NoExecute|NoSchedule|None",
    "v1.DeviceTolerationOperator": "Equal|Exists",
    "v1.VolumeBindingMode": "Immediate|WaitForFirstConsumer",
}
"""Go type to its values, separated by bars. (`v1.Signal` is made by `signals`.)"""

SIGNAL_NAMES = ("ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT RTMAX RTMIN SEGV STKFLT STOP SYS TERM "
                "TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ")


def signals() -> list[str]:
    """The signals a container may name as its stop signal."""
    named = [f"SIG{name}" for name in SIGNAL_NAMES.split()]
    return sorted([*named, *(f"SIGRTMAX-{i}" for i in range(1, 15)), *(f"SIGRTMIN+{i}" for i in range(1, 16))])


_UNNAMED: dict[str, str | int] = {"name": ""}

DEFAULTS: dict[str, dict[str, str | int]] = {
    "autoscaling.v1.ScaleSpec": {"replicas": 0},
    "core.v1.AzureDiskVolumeSource": {"cachingMode": "ReadWrite", "fsType": "ext4", "kind": "Shared", "readOnly": False},
    "core.v1.ConfigMapEnvSource": _UNNAMED,
    "core.v1.ConfigMapKeySelector": _UNNAMED,
    "core.v1.ConfigMapProjection": _UNNAMED,
    "core.v1.ConfigMapVolumeSource": _UNNAMED,
    "core.v1.ContainerPort": {"protocol": "TCP"},
    "core.v1.FileKeySelector": {"optional": False},
    "core.v1.GRPCAction": {"service": ""},
    "core.v1.ISCSIPersistentVolumeSource": {"iscsiInterface": "default"},
    "core.v1.ISCSIVolumeSource": {"iscsiInterface": "default"},
    "core.v1.LocalObjectReference": _UNNAMED,
    "core.v1.RBDPersistentVolumeSource": {"keyring": "/etc/ceph/keyring", "pool": "rbd", "user": "admin"},
    "core.v1.RBDVolumeSource": {"keyring": "/etc/ceph/keyring", "pool": "rbd", "user": "admin"},
    "core.v1.ReplicationControllerSpec": {"minReadySeconds": 0, "replicas": 1},
    "core.v1.ScaleIOPersistentVolumeSource": {"fsType": "xfs", "storageMode": "ThinProvisioned"},
    "core.v1.ScaleIOVolumeSource": {"fsType": "xfs", "storageMode": "ThinProvisioned"},
    "core.v1.SecretEnvSource": _UNNAMED,
    "core.v1.SecretKeySelector": _UNNAMED,
    "core.v1.SecretProjection": _UNNAMED,
    "core.v1.ServicePort": {"protocol": "TCP"},
    "resource.v1.DeviceToleration": {"operator": "Equal"},
}
"""Schema defaults that the Go shape does not tell. (Most defaults of the API are not in its schema but in code.)"""

_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"
_AGGREGATOR = "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1"

POINTERS: dict[str, str] = {
    f"{_EXTENSIONS}.CustomResourceDefinitionSpec": "conversion",
    f"{_EXTENSIONS}.CustomResourceConversion": "webhook",
    f"{_EXTENSIONS}.WebhookConversion": "clientConfig",
    f"{_EXTENSIONS}.WebhookClientConfig": "url service",
    f"{_EXTENSIONS}.ServiceReference": "path port",
    f"{_EXTENSIONS}.CustomResourceDefinitionVersion": "deprecationWarning schema subresources",
    f"{_EXTENSIONS}.CustomResourceSubresources": "status scale",
    f"{_EXTENSIONS}.CustomResourceSubresourceScale": "labelSelectorPath",
    f"{_EXTENSIONS}.CustomResourceValidation": "openAPIV3Schema",
    f"{_EXTENSIONS}.ValidationRule": "reason optionalOldSelf",
    f"{_EXTENSIONS}.JSONSchemaProps": (
        "$ref default maximum minimum maxLength minLength maxItems minItems multipleOf maxProperties minProperties items not "
        "additionalProperties additionalItems externalDocs example x-kubernetes-preserve-unknown-fields x-kubernetes-list-type "
        "x-kubernetes-map-type"),
    f"{_AGGREGATOR}.APIServiceSpec": "service",
    f"{_AGGREGATOR}.ServiceReference": "port",
}
"""Fields that are pointers in Go, where the types are not in the client's binary."""

ALWAYS: dict[str, str] = {
    f"{_EXTENSIONS}.CustomResourceDefinitionStatus": "conditions acceptedNames storedVersions",
}
"""Optional fields without `omitempty`, where the types are not in the client's binary."""

NAMED: dict[str, dict[str, str]] = {
    f"{_EXTENSIONS}.ValidationRule": {"reason": "v1.FieldValueErrorReason"},
}
"""Go types of enumerated fields, where the types are not in the client's binary."""
