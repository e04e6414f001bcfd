"""What the fields of a PodSecurityPolicy mean, for `kubectl explain`."""
from __future__ import annotations

_RANGES = "The ids that are allowed; of a must-rule the first one is the default."
_IDS = {"rule": "MustRunAs, MayRunAs or RunAsAny.", "ranges": _RANGES}

TEXTS = {
    "PodSecurityPolicy": {
        "": "What pods may ask for. A pod needs one policy that allows it, and that its service account or its author may use.",
        "spec": "What is allowed, and what is filled in."},
    "PodSecurityPolicySpec": {
        "privileged": "Whether containers may be privileged.",
        "defaultAddCapabilities": "Capabilities that every container gets, unless it drops them.",
        "requiredDropCapabilities": "Capabilities that every container drops.",
        "allowedCapabilities": "Capabilities that containers may add; * for all.",
        "volumes": "The types of volumes that pods may have; * for all, none if empty.",
        "hostNetwork": "Whether pods may use the network of their node.",
        "hostPorts": "The ports of nodes that containers may take; none if empty.",
        "hostPID": "Whether pods may see the processes of their node.",
        "hostIPC": "Whether pods may use the IPC namespace of their node.",
        "seLinux": "Which SELinux label containers run under.",
        "runAsUser": "As which user containers run.",
        "runAsGroup": "As which group containers run; any if left out.",
        "supplementalGroups": "Which further groups pods have.",
        "fsGroup": "Which group the volumes of pods belong to.",
        "readOnlyRootFilesystem": "Whether containers have to run with a root file system that cannot be written.",
        "defaultAllowPrivilegeEscalation": "Whether processes may gain rights, where a container does not say.",
        "allowPrivilegeEscalation": "Whether a container may let its processes gain rights. It may unless this is false.",
        "allowedHostPaths": "The paths of nodes that hostPath volumes may be of; all if empty.",
        "allowedFlexVolumes": "The drivers of FlexVolumes that are allowed; all if empty.",
        "allowedCSIDrivers": "The drivers of inline CSI volumes that are allowed; all if empty.",
        "allowedUnsafeSysctls": "Unsafe sysctls that pods may set; a name, or a beginning with *.",
        "forbiddenSysctls": "Sysctls that pods may not set; a name, or a beginning with *.",
        "allowedProcMountTypes": "How containers may mount /proc; Default if empty.",
        "runtimeClass": "Which runtime classes pods may name; any if left out."},
    "IDRange": {"": "Ids from min to max.", "min": "The first id.", "max": "The last id."},
    "HostPortRange": {"": "Ports from min to max.", "min": "The first port.", "max": "The last port."},
    "AllowedHostPath": {
        "pathPrefix": "The path, or a directory above it; /foo is above /foo/bar, not above /fool.",
        "readOnly": "Whether containers may mount it for reading only."},
    "AllowedFlexVolume": {"driver": "The name of the driver."},
    "AllowedCSIDriver": {"name": "The name of the driver."},
    "SELinuxStrategyOptions": {"rule": "MustRunAs or RunAsAny.", "seLinuxOptions": "The label that containers must have; it is the default, too."},
    "RunAsUserStrategyOptions": {"rule": "MustRunAs, MustRunAsNonRoot or RunAsAny.", "ranges": _RANGES},
    "RunAsGroupStrategyOptions": _IDS,
    "SupplementalGroupsStrategyOptions": _IDS,
    "FSGroupStrategyOptions": _IDS,
    "RuntimeClassStrategyOptions": {
        "allowedRuntimeClassNames": "The runtime classes that pods may name; * for all.",
        "defaultRuntimeClassName": "The runtime class of pods that name none."},
}
