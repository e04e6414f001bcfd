"""Pods and templates that are refused: where, and in which words."""
from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tiffin.api.core.pod import KIND
from tiffin.api.core.podspec.defaults import default_pod_template
from tiffin.api.core.podspec.validation import validate_pod_template_spec
from tiffin.api.kind import Context

CONTEXT = Context(datetime(2024, 1, 1, tzinfo=UTC))
CONTAINER = {"name": "c", "image": "nginx:1.27"}
VOLUMES = [{"name": "v", "emptyDir": {}}, {"name": "p", "persistentVolumeClaim": {"claimName": "x"}}]
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def refused(spec: dict[str, Any], **metadata: Any) -> list[str]:
    """The errors of a pod with this spec, `spec.` left out of their paths."""
    pod = {"metadata": {"name": "p", "namespace": "n"} | metadata, "spec": {"serviceAccountName": "default", "containers": [dict(CONTAINER)]} | spec}
    KIND.default(pod)
    KIND.prepare_for_create(pod, CONTEXT)
    return [str(e).removeprefix("spec.") for e in KIND.validate(pod, CONTEXT)]


def in_container(**fields: Any) -> list[str]:
    return [e.removeprefix("containers[0].") for e in refused({"containers": [CONTAINER | fields], "volumes": VOLUMES})]


def beginnings(found: list[str], expected: list[str]) -> bool:
    return len(found) == len(expected) and all(f.startswith(e) for f, e in zip(found, expected))


@pytest.mark.parametrize("fields, errors", [
    ({}, []),
    ({"name": ""}, ["name: Required value"]),
    ({"name": "a.b"}, ['name: Invalid value: "a.b": must not contain dots']),
    ({"image": ""}, ["image: Required value"]),
    ({"image": " a"}, ['image: Invalid value: " a": must not have leading or trailing whitespace']),
    ({"imagePullPolicy": "Sometimes"}, ['imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"']),
    ({"ports": [{}]}, ["ports[0].containerPort: Required value"]),
    ({"ports": [{"containerPort": 80, "protocol": "tcp"}]}, ['ports[0].protocol: Unsupported value: "tcp": supported values: "SCTP", "TCP", "UDP"']),
    ({"ports": [{"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}]}, ['ports[1].name: Duplicate value: "a"']),
    ({"ports": [{"containerPort": 80, "hostPort": 90}, {"containerPort": 81, "hostPort": 90}]}, ['ports[1].hostPort: Duplicate value: "TCP//90"']),
    ({"env": [{"name": "A", "valueFrom": {}}]}, ['env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`']),
    ({"env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}, ['env[0].valueFrom: Invalid value: "": may not be']),
    ({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}]}, ['env[0].valueFrom.fieldRef.fieldPath: Unsupported value']),
    ({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a b']"}}}]}, ['env[0].valueFrom.fieldRef: Invalid value: "a b": name']),
    ({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x.y"}}}]},
     ['env[0].valueFrom.fieldRef.fieldPath: Invalid value: "x.y": error converting fieldPath: field label not supported: x.y']),
    ({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1Mi"}}}]},
     ['env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": only divisor\'s values 1m and 1 are supported with the cpu resource']),
    ({"env": [{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "none", "path": "../x", "key": "k"}}}]},
     ["env[0].valueFrom.fileKeyRef.path: Invalid value: \"../x\": must not contain '..'", 'env[0].valueFrom.fileKeyRef.volumeName: Not found: "none"']),
    ({"envFrom": [{}]}, ['envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`']),
    ({"volumeMounts": [{}]}, ["volumeMounts[0].name: Required", 'volumeMounts[0].name: Not found: ""', "volumeMounts[0].mountPath: Required"]),
    ({"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "/x"}]}, ['volumeMounts.subPath: Invalid value: "/x": must be a relative path']),
    ({"volumeMounts": [{"name": "v", "mountPath": "/a", "mountPropagation": "Bidirectional"}]}, ["volumeMounts.mountPropagation: Forbidden: Bidirectional"]),
    ({"volumeMounts": [{"name": "v", "mountPath": "/a", "recursiveReadOnly": "Enabled"}]}, ["volumeMounts.recursiveReadOnly: Forbidden: may only be"]),
    ({"volumeDevices": [{"name": "v", "devicePath": "/d"}]}, ['volumeDevices[0].name: Invalid value: "v": can only use volume source type of']),
    ({"livenessProbe": {}}, ["livenessProbe: Required value: must specify a handler type"]),
    ({"livenessProbe": {"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}}}, ["livenessProbe.tcpSocket: Forbidden: may not specify more than 1"]),
    ({"livenessProbe": {"httpGet": {"port": "Bad Port"}}}, ['livenessProbe.httpGet.port: Invalid value: "Bad Port": must contain only']),
    ({"startupProbe": {"exec": {"command": ["a"]}, "successThreshold": 3}}, ["startupProbe.successThreshold: Invalid value: 3: must be 1"]),
    ({"readinessProbe": {"exec": {"command": ["a"]}, "terminationGracePeriodSeconds": 5}},
     ["readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: must not be set for readinessProbes"]),
    ({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}},
     ["lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)"]),
    ({"resources": {"limits": {"cpu": "-1"}}}, ['resources.limits[cpu]: Invalid value: "-1": must be', 'resources.requests[cpu]: Invalid value: "-1"']),
    ({"resources": {"requests": {"cpu": 2}, "limits": {"cpu": 1}}}, ['resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1']),
    ({"resources": {"requests": {"gpu": 1}}}, ['resources.requests[gpu]: Invalid value: "gpu": must be a standard resource type', 'resources.requests[gpu]']),
    ({"resources": {"requests": {"example.com/g": 1}}}, ["resources.limits: Required value: Limit must be set for non overcommitable resources"]),
    ({"resources": {"claims": [{"name": "x"}]}}, ['resources.claims[0]: Not found: "x": must be one of the names in pod.spec.resourceClaims which is']),
    ({"securityContext": {"runAsUser": -1}}, ["securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive"]),
    ({"securityContext": {"allowPrivilegeEscalation": False, "privileged": True}}, ['securityContext: Invalid value: {"Capabilities":null,"Privileged":true']),
    ({"securityContext": {"seccompProfile": {"type": "Odd"}}}, ['securityContext.seccompProfile.type: Unsupported value: "Odd"']),
    ({"securityContext": {"windowsOptions": {"runAsUserName": "a\\b\\c"}}}, ['securityContext.windowsOptions.runAsUserName: Invalid value: "a\\\\b\\\\c": run']),
    ({"restartPolicyRules": [{"action": "Stop"}]}, ["restartPolicy: Required value: must specify restartPolicy", "restartPolicyRules[0].action", "restartP"]),
    ({"resizePolicy": [{"resourceName": "disk"}]}, ['resizePolicy: Unsupported value: "disk": supported values: "cpu", "memory"', "resizePolicy: Required"]),
])
def test_containers(fields, errors):
    assert beginnings(in_container(**fields), errors)


@pytest.mark.parametrize("volume, errors", [
    ({"name": "a"}, []),
    ({"name": ""}, ["volumes[0].name: Required value"]),
    ({"name": "a", "emptyDir": {}, "hostPath": {"path": "/x"}}, ["volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"]),
    ({"name": "a", "hostPath": {"path": "/a/../b"}}, ["volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"]),
    ({"name": "a", "secret": {"secretName": "s", "defaultMode": 512}}, ["volumes[0].secret.defaultMode: Invalid value: 512: must be a number between 0"]),
    ({"name": "a", "configMap": {"name": "c", "items": [{"key": "k", "path": "..x"}]}}, ["volumes[0].configMap.items[0].path: Invalid value: \"..x\": must not"]),
    ({"name": "a", "downwardAPI": {"items": [{"path": "p"}]}}, ["volumes[0].downwardAPI: Required value: one of fieldRef and resourceFieldRef is"]),
    ({"name": "a", "projected": {"sources": [{"configMap": {"name": "c"}, "secret": {"name": "s"}}]}}, ["volumes[0].projected.sources[0]: Forbidden: may not"]),
    ({"name": "a", "projected": {"sources": [{"serviceAccountToken": {"path": ""}}]}}, ["volumes[0].projected.path: Required value"]),
    ({"name": "a", "projected": {"sources": [{"secret": {"name": "s", "items": [{"key": "k", "path": "x"}]}}, {"configMap": {"name": "c", "items": [{"key": "k", "path": "x"}]}}]}},
     ['volumes[0].projected: Invalid value: "c": conflicting duplicate paths']),
    ({"name": "a", "gcePersistentDisk": {"pdName": ""}}, ["volumes[0].persistentDisk.pdName: Required value"]),
    ({"name": "a", "fc": {}}, ["volumes[0].fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both"]),
    ({"name": "a", "ephemeral": {}}, ["volumes[0].ephemeral.volumeClaimTemplate: Required value"]),
    ({"name": "a", "csi": {"driver": "bad!"}}, ['volumes[0].csi.driver: Invalid value: "bad!": a lowercase']),
    ({"name": "a", "image": {"reference": "x", "pullPolicy": "Maybe"}}, ['volumes[0].image.pullPolicy: Unsupported value: "Maybe"']),
])
def test_volumes(volume, errors):
    assert beginnings(refused({"volumes": [volume]}), errors)


@pytest.mark.parametrize("spec, errors", [
    ({"containers": []}, ["containers: Required value"]),
    ({"containers": [CONTAINER, CONTAINER]}, ['containers[1].name: Duplicate value: "c"']),
    ({"initContainers": [CONTAINER]}, ['initContainers[0].name: Duplicate value: "c"']),
    ({"initContainers": [{"name": "i", "image": "x", "livenessProbe": {"exec": {"command": ["a"]}}}]},
     ["initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always"]),
    ({"initContainers": [{"name": "i", "image": "x", "restartPolicy": "Always", "livenessProbe": {"exec": {"command": ["a"]}}}]}, []),
    ({"ephemeralContainers": [{"name": "e", "image": "x", "targetContainerName": "z", "ports": [{"containerPort": 1}]}]},
     ['ephemeralContainers[0].targetContainerName: Not found: "z"', "ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
      "ephemeralContainers: Forbidden: cannot be set on create"]),
    ({"restartPolicy": "X"}, ['restartPolicy: Unsupported value: "X": supported values: "Always", "OnFailure", "Never"']),
    ({"hostNetwork": True, "containers": [CONTAINER | {"ports": [{"containerPort": 80, "hostPort": 81}]}]}, ["containers[0].ports[0].hostPort: Invalid value: 81: must"]),
    ({"securityContext": {"fsGroup": -1, "fsGroupChangePolicy": "X"}}, ["securityContext.fsGroup: Invalid value: -1", 'securityContext.fsGroupChangePolicy: Unsu']),
    ({"securityContext": {"sysctls": [{"name": "a"}, {"name": "a"}, {"name": "A"}]}}, ['securityContext.sysctls[1].name: Duplicate value: "a"', "securityContext.sysctls[2]"]),
    ({"shareProcessNamespace": True, "hostPID": True}, ["securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID"]),
    ({"nodeSelector": {"bad key": "v"}}, ['nodeSelector: Invalid value: "bad key": name part']),
    ({"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": []}}}}, [f"affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms: Required value"]),
    ({"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.uid", "operator": "In", "values": ["b"]}]}]}}}},
     [f'affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchFields[0].key: Invalid value: "metadata.uid": not a valid field selector key']),
    ({"affinity": {"podAffinity": {REQUIRED: [{"topologyKey": "z", "labelSelector": {}, "matchLabelKeys": ["a"], "mismatchLabelKeys": ["a"]}]}}},
     [f'affinity.podAffinity.{REQUIRED}[0].matchLabelKeys[0]: Invalid value: "a": exists in both matchLabelKeys and mismatchLabelKeys']),
    ({"tolerations": [{"operator": "Equal", "value": "x"}]}, ['tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty']),
    ({"tolerations": [{"key": "a", "operator": "Exists", "value": "x", "effect": "NoSchedule"}]}, ['tolerations[0].operator: Invalid value: "x": value must be empty when `operator`']),
    ({"tolerations": [{"key": "a", "tolerationSeconds": 1}]}, ["tolerations[0].effect: Invalid value: \"\": effect must be 'NoExecute' when"]),
    ({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 2}]},
     ["topologySpreadConstraints[0].minDomains: Invalid value: 2: can only use minDomains if whenUnsatisfiable=DoNotSchedule"]),
    ({"dnsPolicy": "None"}, ["dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"]),
    ({"dnsConfig": {"searches": [".", "a.b."], "options": [{"name": ""}]}}, ["dnsConfig.options[0]: Required value: must not be empty"]),
    ({"hostAliases": [{"ip": "x", "hostnames": ["A_b"]}]}, ['hostAliases[0].ip: Invalid value: "x"', 'hostAliases[0].hostnames[0]: Invalid value: "A_b"']),
    ({"hostnameOverride": "a", "hostNetwork": True}, ["hostnameOverride: Forbidden: may not be specified when hostNetwork is true"]),
    ({"activeDeadlineSeconds": 0}, ["activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"]),
    ({"os": {"name": "plan9"}}, ['os: Unsupported value: "plan9": supported values: "linux", "windows"']),
    ({"os": {"name": "windows"}, "hostPID": True}, ["hostPID: Forbidden: cannot be set for a windows pod"]),
    ({"hostUsers": False, "hostNetwork": True}, ["hostNetwork: Forbidden: when `hostUsers` is false"]),
    ({"overhead": {"cpu": "-1"}}, ['overhead.limits[cpu]: Invalid value: "-1"']),
    ({"schedulingGates": [{"name": "a"}, {"name": "a"}], "nodeName": "n"},
     ['schedulingGates[1]: Duplicate value: "a"', "nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"]),
    ({"readinessGates": [{"conditionType": "a b"}]}, ['readinessGates[0].conditionType: Invalid value: "a b"']),
    ({"resourceClaims": [{"name": "a"}]}, ['resourceClaims[0]: Invalid value: {"Name":"a","ResourceClaimName":null,"ResourceClaimTemplateName":null}: must']),
    ({"resources": {"limits": {"cpu": 1}}, "containers": [CONTAINER | {"resources": {"limits": {"cpu": 2}}}]},
     ['resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1', 'resources.containers[0][cpu].limits: Invalid value: "2"']),
    ({"containers": [CONTAINER | {"resources": {"limits": {"hugepages-2Mi": "3Mi", "cpu": "1"}, "requests": {"hugepages-2Mi": "3Mi"}}}]},
     ['containers[0].resources.limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi',
      'containers[0].resources.requests[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi']),
    ({"containers": [CONTAINER | {"resources": {"limits": {"hugepages-2Mi": "2Mi"}, "requests": {"hugepages-2Mi": "2Mi"}}}]},
     ["containers[0].resources: Forbidden: HugePages require cpu or memory"]),
    ({"resources": {"limits": {"ephemeral-storage": "1"}}},
     ['resources.limits[ephemeral-storage]: Unsupported value: "ephemeral-storage": supported values: "cpu", "hugepages-", "memory"']),
    ({"preemptionPolicy": "Odd"}, ['preemptionPolicy: Unsupported value: "Odd": supported values: "PreemptLowerPriority", "Never"']),
])
def test_pods(spec, errors):
    assert beginnings(refused(spec), errors)


@pytest.mark.parametrize("annotations, error", [
    ({"kubernetes.io/config.mirror": "x"}, "must set spec.nodeName if mirror pod annotation is set"),
    ({"controller.kubernetes.io/pod-deletion-cost": "five"}, "must be a 32bit integer"),
    ({"controller.kubernetes.io/pod-deletion-cost": "+1"}, "must be a 32bit integer"),
    ({"container.apparmor.security.beta.kubernetes.io/z": "unconfined"}, "container not found"),
    ({"container.apparmor.security.beta.kubernetes.io/c": "odd"}, 'invalid AppArmor profile name: "odd"'),
    ({"seccomp.security.alpha.kubernetes.io/pod": "odd"}, 'Invalid value: "odd": must be a valid seccomp profile'),
    ({"container.seccomp.security.alpha.kubernetes.io/c": "localhost/../x"}, "must not contain '..'"),
])
def test_annotations(annotations, error):
    (found,) = refused({}, annotations=annotations)
    assert found.endswith(error)


def test_templates_have_no_ephemeral_containers_and_are_lenient_about_whitespace():
    template = {"metadata": {"labels": {"a b": "c"}}, "spec": {"containers": [CONTAINER | {"image": " a"}], "ephemeralContainers": [{"name": "e", "image": "x"}]}}
    default_pod_template(template)
    found = [str(e) for e in validate_pod_template_spec(template, "spec.template")]
    assert beginnings(found, ['spec.template.labels: Invalid value: "a b"', "spec.template.spec.ephemeralContainers: Forbidden"])


@pytest.mark.parametrize("note, profile, error", [
    ("unconfined", {"type": "Unconfined"}, None),
    ("runtime/default", {"type": "RuntimeDefault"}, None),
    ("docker/default", {"type": "Unconfined"}, "securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match"),
    ("localhost/a", {"type": "Localhost", "localhostProfile": "b"},
     "securityContext.seccompProfile.localhostProfile: Forbidden: seccomp profile in annotation and field must match"),
])
def test_profiles_in_annotations_and_fields(note, profile, error):
    found = refused({"securityContext": {"seccompProfile": profile}}, annotations={"seccomp.security.alpha.kubernetes.io/pod": note})
    assert found == ([error] if error else [])
