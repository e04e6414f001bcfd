"""PodSecurityPolicy: what one policy fills in and forbids, by table; which policy decides, with a whole server."""
from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from tests.apiserver.inprocess import NOBODY, InProcess, in_process
from tiffin.api.legacy.podsecuritypolicy import default
from tiffin.apiserver.admission.podsecuritypolicy.provider import complete, violations
from tiffin.machinery.object import Object, dig
from tiffin.net.pki import Pki

POLICIES = "/apis/policy/v1beta1/podsecuritypolicies"
PODS = "/api/v1/namespaces/default/pods"
ANY = {"rule": "RunAsAny"}
OPEN: Object = {
    "privileged": True, "allowPrivilegeEscalation": True, "allowedCapabilities": ["*"], "volumes": ["*"], "hostNetwork": True, "hostIPC": True, "hostPID": True,
    "hostPorts": [{"min": 0, "max": 65535}], "runAsUser": ANY, "seLinux": ANY, "supplementalGroups": ANY, "fsGroup": ANY,
}  # fmt: skip
RANGES = [{"min": 100, "max": 200}, {"min": 500, "max": 600}]
MUST = {"rule": "MustRunAs", "ranges": RANGES}


def policy(name: str = "p", annotations: Object | None = None, **spec: Any) -> Object:
    made: Object = {"metadata": {"name": name, "annotations": annotations or {}}, "spec": orjson.loads(orjson.dumps({**OPEN, **spec}))}
    default(made)
    return made


def pod(container: Object | None = None, annotations: Object | None = None, **spec: Any) -> Any:
    """A pod; `container` are fields of its container, `spec` those of its own."""
    made = {"metadata": {"name": "a", "annotations": annotations or {}}, "spec": {"containers": [{"name": "c", "image": "i", **(container or {})}], **spec}}
    return orjson.loads(orjson.dumps(made))


def context(**fields: Any) -> Object:
    return {"securityContext": fields}


def told(p: Object, of: Object) -> list[str]:
    return [str(error) for error in violations(p, of)]


C = "spec.containers[0]"
SC = f"{C}.securityContext"


@pytest.mark.parametrize("rules, asked, expected", [
    ({}, pod(context(privileged=True, capabilities={"add": ["NET_ADMIN"]}), hostNetwork=True, hostPID=True, hostIPC=True), []),
    ({"privileged": False}, pod(context(privileged=True)), [f"{SC}.privileged: Invalid value: true: Privileged containers are not allowed"]),
    ({"hostNetwork": False}, pod(hostNetwork=True), ["spec.securityContext.hostNetwork: Invalid value: true: Host network is not allowed to be used"]),
    ({"hostPID": False}, pod(hostPID=True), ["spec.securityContext.hostPID: Invalid value: true: Host PID is not allowed to be used"]),
    ({"hostIPC": False}, pod(hostIPC=True), ["spec.securityContext.hostIPC: Invalid value: true: Host IPC is not allowed to be used"]),
    ({"hostPorts": [{"min": 80, "max": 80}, {"min": 8000, "max": 9000}]}, pod({"ports": [{"hostPort": 80}, {"hostPort": 443}, {"containerPort": 1}]}),
     [f"{C}.hostPort: Invalid value: 443: Host port 443 is not allowed to be used. Allowed ports: [80,8000-9000]"]),
    ({"hostPorts": []}, pod({"ports": [{"hostPort": 80}]}), [f"{C}.hostPort: Invalid value: 80: Host port 80 is not allowed to be used. Allowed ports: []"]),
    ({"volumes": ["secret"]}, pod(volumes=[{"name": "h", "hostPath": {"path": "/"}}]),
     ['spec.volumes[0]: Invalid value: "hostPath": hostPath volumes are not allowed to be used']),
    ({"volumes": []}, pod(volumes=[{"name": "e", "emptyDir": {}}]), ['spec.volumes[0]: Invalid value: "emptyDir": emptyDir volumes are not allowed to be used']),
    ({"volumes": ["secret"]}, pod(volumes=[{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]), []),
    ({"volumes": ["secret"]}, pod(volumes=[{"name": "t", "projected": {"sources": [{"secret": {"name": "s"}}]}}]),
     ['spec.volumes[0]: Invalid value: "projected": projected volumes are not allowed to be used']),
    ({"allowedHostPaths": [{"pathPrefix": "/foo"}]}, pod(volumes=[{"name": "h", "hostPath": {"path": "/foo/bar"}}]), []),
    ({"allowedHostPaths": [{"pathPrefix": "/foo"}]}, pod(volumes=[{"name": "h", "hostPath": {"path": "/fool"}}]),
     ['spec.volumes[0].hostPath.pathPrefix: Invalid value: "/fool": is not allowed to be used']),
    ({"allowedHostPaths": [{"pathPrefix": "/foo", "readOnly": True}]},
     pod({"volumeMounts": [{"name": "h", "mountPath": "/a"}, {"name": "h", "mountPath": "/b", "readOnly": True}]}, volumes=[{"name": "h", "hostPath": {"path": "/foo"}}]),
     [f"{C}.volumeMounts[0].readOnly: Invalid value: false: must be read-only"]),
    ({"allowedFlexVolumes": [{"driver": "a/b"}]}, pod(volumes=[{"name": "f", "flexVolume": {"driver": "a/c"}}]),
     ['spec.volumes[0].driver: Invalid value: "a/c": Flexvolume driver is not allowed to be used']),
    ({"allowedCSIDrivers": [{"name": "a"}]}, pod(volumes=[{"name": "f", "csi": {"driver": "b"}}]),
     ['spec.volumes[0].csi.driver: Invalid value: "b": Inline CSI driver is not allowed to be used']),
    ({"fsGroup": MUST}, pod(), ["spec.securityContext.fsGroup: Invalid value: []int64{}: unable to validate empty groups against required ranges"]),
    ({"fsGroup": MUST}, pod(**context(fsGroup=1)), ["spec.securityContext.fsGroup: Invalid value: []int64{1}: group 1 must be in the ranges: [{100 200} {500 600}]"]),
    ({"fsGroup": {**MUST, "rule": "MayRunAs"}}, pod(), []),
    ({"supplementalGroups": {**MUST, "rule": "MayRunAs"}}, pod(**context(supplementalGroups=[150, 7])),
     ["spec.securityContext.supplementalGroups: Invalid value: []int64{150, 7}: group 7 must be in the ranges: [{100 200} {500 600}]"]),
    ({"runAsUser": MUST}, pod(), [f"{SC}.runAsUser: Required value"]),
    ({"runAsUser": MUST}, pod(context(runAsUser=0)), [f"{SC}.runAsUser: Invalid value: 0: must be in the ranges: [{{100 200}} {{500 600}}]"]),
    ({"runAsUser": MUST}, pod(**context(runAsUser=550)), []),
    ({"runAsUser": {"rule": "MustRunAsNonRoot"}}, pod(), [f"{SC}.runAsNonRoot: Required value: must be true"]),
    ({"runAsUser": {"rule": "MustRunAsNonRoot"}}, pod(context(runAsNonRoot=False)), [f"{SC}.runAsNonRoot: Invalid value: false: must be true"]),
    ({"runAsUser": {"rule": "MustRunAsNonRoot"}}, pod(context(runAsUser=0)), [f"{SC}.runAsUser: Invalid value: 0: running with the root UID is forbidden"]),
    ({"runAsGroup": MUST}, pod(context(runAsGroup=9)), [f"{SC}.runAsGroup: Invalid value: []int64{{9}}: group 9 must be in the ranges: [{{100 200}} {{500 600}}]"]),
    ({"seLinux": {"rule": "MustRunAs", "seLinuxOptions": {"level": "s0:c1,c2", "user": "u"}}}, pod(**context(seLinuxOptions={"level": "s0:c2,c1", "user": "v"})),
     [f'{place}.seLinuxOptions.user: Invalid value: "v": must be u' for place in ("spec.securityContext", SC)]),
    ({"allowedCapabilities": ["CHOWN"], "defaultAddCapabilities": ["KILL"]}, pod(context(capabilities={"add": ["CHOWN", "KILL", "NET_ADMIN"]})),
     [f'{SC}.capabilities.add: Invalid value: "NET_ADMIN": capability may not be added']),
    ({"allowedCapabilities": [], "requiredDropCapabilities": ["ALL"]}, pod(),
     [f"{SC}.capabilities: Invalid value: null: required capabilities are not set on the securityContext"]),
    ({"allowedCapabilities": [], "requiredDropCapabilities": ["ALL"]}, pod(context(capabilities={"drop": ["KILL"]})),
     [f'{SC}.capabilities.drop: Invalid value: ["KILL"]: ALL is required to be dropped but was not found']),
    ({"readOnlyRootFilesystem": True}, pod(context(readOnlyRootFilesystem=False)),
     [f"{SC}.readOnlyRootFilesystem: Invalid value: false: ReadOnlyRootFilesystem must be set to true"]),
    ({"allowPrivilegeEscalation": False}, pod(context(allowPrivilegeEscalation=True)),
     [f"{SC}.allowPrivilegeEscalation: Invalid value: true: Allowing privilege escalation for containers is not allowed"]),
    ({}, pod(context(procMount="Unmasked")), [f'{SC}.procMount: Invalid value: "Unmasked": ProcMountType is not allowed']),
    ({"allowedUnsafeSysctls": ["kernel.msg*"], "forbiddenSysctls": ["net.ipv4.tcp_syncookies"]},
     pod(**context(sysctls=[{"name": n} for n in ("kernel.shm_rmid_forced", "kernel.msgmax", "net.ipv4.tcp_syncookies", "kernel.sem")])),
     ['pod.spec.securityContext.sysctls[2]: Forbidden: sysctl "net.ipv4.tcp_syncookies" is not allowed',
      'pod.spec.securityContext.sysctls[3]: Forbidden: unsafe sysctl "kernel.sem" is not allowed']),
    ({"runtimeClass": {"allowedRuntimeClassNames": ["gvisor"]}}, pod(runtimeClassName="kata"),
     ['spec.runtimeClassName: Unsupported value: "kata": supported values: "gvisor"']),
])  # fmt: skip
def test_violations(rules: Object, asked: Object, expected: list[str]) -> None:
    assert told(policy(**rules), asked) == expected


@pytest.mark.parametrize("field", ["initContainers", "containers", "ephemeralContainers"])
@pytest.mark.parametrize(("rules", "container", "spec"), [
    ({"privileged": False}, context(privileged=True), {}),
    ({"hostPorts": []}, {"ports": [{"hostPort": 80}]}, {}),
    ({"allowedCapabilities": []}, context(capabilities={"add": ["NET_ADMIN"]}), {}),
    ({"allowPrivilegeEscalation": False}, context(allowPrivilegeEscalation=True), {}),
    ({"readOnlyRootFilesystem": True}, context(readOnlyRootFilesystem=False), {}),
    ({"runAsUser": {"rule": "MustRunAsNonRoot"}}, context(runAsUser=0), {}),
    ({"runAsUser": MUST}, context(runAsUser=0), {}),
    ({}, context(procMount="Unmasked"), {}),
    ({"allowedHostPaths": [{"pathPrefix": "/foo", "readOnly": True}]}, {"volumeMounts": [{"name": "h", "mountPath": "/a"}]},
     {"volumes": [{"name": "h", "hostPath": {"path": "/foo"}}]}),
])  # fmt: skip
def test_attack_16_no_kind_of_container_gets_around_a_policy(rules: Object, container: Object, spec: Object, field: str) -> None:
    asked = pod(**spec)
    asked["spec"][field] = [*(asked["spec"]["containers"] if field == "containers" else ()), {"name": "other", "image": "i", **container}]
    found = told(policy(**rules), asked)
    assert any(f"spec.{field}[" in each for each in found)


SECCOMP, APPARMOR = "seccomp.security.alpha.kubernetes.io", "apparmor.security.beta.kubernetes.io"


@pytest.mark.parametrize("notes, asked, expected", [
    ({}, pod(annotations={f"{SECCOMP}/pod": "unconfined"}), 2),
    ({f"{SECCOMP}/allowedProfileNames": "*"}, pod(annotations={f"{SECCOMP}/pod": "unconfined"}), 0),
    ({f"{SECCOMP}/allowedProfileNames": "docker/default"}, pod(**context(seccompProfile={"type": "RuntimeDefault"})), 0),
    ({f"{SECCOMP}/allowedProfileNames": "docker/default"}, pod(context(seccompProfile={"type": "Localhost", "localhostProfile": "x"})), 2),
    ({f"{APPARMOR}/allowedProfileNames": "runtime/default"}, pod(), 1),
    ({f"{APPARMOR}/allowedProfileNames": "runtime/default"}, pod(context(appArmorProfile={"type": "RuntimeDefault"})), 0),
    ({f"{APPARMOR}/allowedProfileNames": "runtime/default"}, pod(annotations={f"container.{APPARMOR}/c": "localhost/x"}), 1),
])  # fmt: skip
def test_profiles(notes: Object, asked: Object, expected: int) -> None:
    assert len(told(policy(annotations=notes), asked)) == expected


@pytest.mark.parametrize("rules, asked, whole, container", [
    ({"fsGroup": MUST, "supplementalGroups": MUST}, pod(), {"fsGroup": 100, "supplementalGroups": [100]}, None),
    ({"fsGroup": MUST}, pod(**context(fsGroup=550)), {"fsGroup": 550}, None),
    ({"fsGroup": {**MUST, "rule": "MayRunAs"}}, pod(), {}, None),
    ({"runAsUser": MUST, "runAsGroup": MUST}, pod(), {}, {"runAsUser": 100, "runAsGroup": 100}),
    ({"runAsUser": MUST}, pod(**context(runAsUser=7)), {"runAsUser": 7}, None),
    ({"runAsUser": {"rule": "MustRunAsNonRoot"}}, pod(), {}, {"runAsNonRoot": True}),
    ({"runAsUser": {"rule": "MustRunAsNonRoot"}}, pod(context(runAsUser=7)), {}, {"runAsUser": 7}),
    ({"seLinux": {"rule": "MustRunAs", "seLinuxOptions": {"level": "s0"}}}, pod(), {"seLinuxOptions": {"level": "s0"}}, None),
    ({"defaultAddCapabilities": ["KILL", "CHOWN"], "requiredDropCapabilities": ["MKNOD"], "allowedCapabilities": []}, pod(context(capabilities={"drop": ["CHOWN"]})), {},
     {"capabilities": {"add": ["KILL"], "drop": ["CHOWN", "MKNOD"]}}),
    ({"readOnlyRootFilesystem": True}, pod(), {}, {"readOnlyRootFilesystem": True}),
    ({"allowPrivilegeEscalation": False}, pod(), {}, {"allowPrivilegeEscalation": False}),
    ({"allowPrivilegeEscalation": False}, pod(context(privileged=True)), {}, {"privileged": True}),
    ({"defaultAllowPrivilegeEscalation": False}, pod(), {}, {"allowPrivilegeEscalation": False}),
])  # fmt: skip
def test_what_is_filled_in(rules: Object, asked: Any, whole: Object, container: Object | None) -> None:
    complete(policy(**rules), asked)
    assert asked["spec"]["securityContext"] == whole
    assert asked["spec"]["containers"][0].get("securityContext") == container
    before = orjson.dumps(asked)
    complete(policy(**rules), asked)
    assert orjson.dumps(asked) == before


def test_profiles_are_filled_in() -> None:
    asked = pod()
    complete(policy(annotations={f"{SECCOMP}/defaultProfileName": "runtime/default", f"{APPARMOR}/defaultProfileName": "localhost/x"}), asked)
    assert asked["metadata"]["annotations"] == {f"{SECCOMP}/pod": "runtime/default", f"container.{APPARMOR}/c": "localhost/x"}
    assert asked["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert asked["spec"]["containers"][0]["securityContext"]["appArmorProfile"] == {"type": "Localhost", "localhostProfile": "x"}


@pytest.mark.parametrize("spec, expected", [
    ({"runAsUser": {"rule": "Odd"}}, 'spec.runAsUser.rule: Unsupported value: "Odd": supported values: "MustRunAs", "MustRunAsNonRoot", "RunAsAny"'),
    ({"fsGroup": {"rule": "MustRunAs", "ranges": [{"min": 5, "max": 1}]}}, "spec.fsGroup.ranges[0].min: Invalid value: 5: min cannot be greater than max"),
    ({"requiredDropCapabilities": ["A"]}, 'spec.requiredDropCapabilities: Invalid value: ["A"]: must be empty when all capabilities are allowed by a wildcard'),
    ({"requiredDropCapabilities": ["A"], "allowedCapabilities": ["A"]},
     'spec.allowedCapabilities: Invalid value: "A": capability is listed in allowedCapabilities and requiredDropCapabilities'),
    ({"defaultAllowPrivilegeEscalation": True, "allowPrivilegeEscalation": False},
     "spec.defaultAllowPrivilegeEscalation: Invalid value: true: Cannot set DefaultAllowPrivilegeEscalation to true without also setting AllowPrivilegeEscalation to true"),
    ({"allowedHostPaths": [{"pathPrefix": "/a/../b"}]}, "spec.allowedHostPaths[0].pathPrefix: Invalid value: \"/a/../b\": must not contain '..'"),
    ({"allowedUnsafeSysctls": ["kernel.*"], "forbiddenSysctls": ["kernel.sem"]},
     'spec.allowedUnsafeSysctls[0]: Invalid value: "kernel.*": sysctl overlaps with spec.forbiddenSysctls[0]'),
])  # fmt: skip
async def test_a_policy_has_to_make_sense(psp: InProcess, spec: Object, expected: str) -> None:
    answer = await psp.post(POLICIES, {"metadata": {"name": "p"}, "spec": {**OPEN, **spec}})
    assert answer.status == 422 and expected in answer.message


# which policy decides

@pytest.fixture
async def psp(pki: Pki) -> AsyncIterator[InProcess]:
    async with in_process(pki, legacy_apis=True, pod_security_policy=True) as running:
        yield running


async def made(api: InProcess, name: str, **spec: Any) -> None:
    await api.made(POLICIES, {"metadata": {"name": name}, "spec": {**OPEN, **spec}})


async def allowed(api: InProcess, subject: Object, *names: str) -> None:
    """Lets somebody use policies in the namespace, and make pods."""
    rules = [{"apiGroups": ["policy"], "resources": ["podsecuritypolicies"], "resourceNames": list(names), "verbs": ["use"]},
             {"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]}]
    base = "/apis/rbac.authorization.k8s.io/v1beta1/namespaces/default"
    await api.made(f"{base}/roles", {"metadata": {"name": "psp"}, "rules": rules})
    await api.made(f"{base}/rolebindings", {"metadata": {"name": "psp"}, "subjects": [subject], "roleRef": {"kind": "Role", "name": "psp"}})


async def test_without_policies_there_are_no_pods(psp: InProcess) -> None:
    answer = await psp.post(PODS, pod())
    assert (answer.status, answer.message) == (403, 'pods "a" is forbidden: no providers available to validate pod request')


async def test_the_first_policy_that_leaves_a_pod_as_it_is_decides(psp: InProcess) -> None:
    await made(psp, "a-changes", runAsUser=MUST)
    await made(psp, "b-takes-all")
    await made(psp, "c-takes-all")
    answer = await psp.post(PODS, pod())
    assert answer.object["metadata"]["annotations"] == {"kubernetes.io/psp": "b-takes-all"}
    assert "runAsUser" not in answer.object["spec"]["containers"][0].get("securityContext", {})


async def test_otherwise_the_first_that_completes_it(psp: InProcess) -> None:
    await made(psp, "b", runAsUser={"rule": "MustRunAs", "ranges": [{"min": 2, "max": 2}]})
    await made(psp, "a", runAsUser={"rule": "MustRunAs", "ranges": [{"min": 1, "max": 1}]})
    answer = await psp.post(PODS, pod())
    assert answer.object["metadata"]["annotations"] == {"kubernetes.io/psp": "a"}
    assert answer.object["spec"]["containers"][0]["securityContext"] == {"runAsUser": 1}
    # and what is changed afterwards has to fit without being completed again
    changed = await psp.patch(f"{PODS}/a", {"spec": {"activeDeadlineSeconds": 9}})
    assert changed.status == 200, changed.text


async def test_only_those_count_that_may_be_used(psp: InProcess) -> None:
    await made(psp, "open")
    await made(psp, "closed", privileged=False, hostPID=False)
    await allowed(psp, {"kind": "User", "name": "nobody"}, "closed")
    fine = await psp.post(PODS, pod(), token=NOBODY)
    assert fine.status == 201 and dig(fine.object, "metadata", "annotations", "kubernetes.io/psp") == "closed"
    refused = await psp.post(PODS, {**pod(hostPID=True), "metadata": {"name": "b"}}, token=NOBODY)
    assert (refused.status, refused.message) == (403, (
        'pods "b" is forbidden: unable to validate against any pod security policy: '
        "[spec.securityContext.hostPID: Invalid value: true: Host PID is not allowed to be used]"))
    assert (await psp.post(PODS, {**pod(hostPID=True), "metadata": {"name": "b"}})).status == 201  # an administrator may use all


async def test_nobody_may_use_any(psp: InProcess) -> None:
    await made(psp, "open")
    await allowed(psp, {"kind": "User", "name": "nobody"}, "another")
    refused = await psp.post(PODS, pod(), token=NOBODY)
    assert refused.message == 'pods "a" is forbidden: unable to validate against any pod security policy: []'


async def test_the_pods_own_account_may_have_the_right(psp: InProcess) -> None:
    await made(psp, "open")
    await allowed(psp, {"kind": "ServiceAccount", "name": "default", "namespace": "default"}, "open")
    role = {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}
    base = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    await psp.made(f"{base}/roles", {"metadata": {"name": "makes"}, "rules": [role]})
    await psp.made(f"{base}/rolebindings", {
        "metadata": {"name": "makes"}, "subjects": [{"kind": "User", "name": "nobody", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"kind": "Role", "name": "makes", "apiGroup": "rbac.authorization.k8s.io"}})
    assert (await psp.post(PODS, pod(), token=NOBODY)).status == 201


async def test_it_has_to_be_asked_for(pki: Pki) -> None:
    async with in_process(pki, legacy_apis=True) as api:
        await made(api, "closed", privileged=False)
        assert (await api.post(PODS, pod(context(privileged=True)))).status == 201
    async with in_process(pki, pod_security_policy=True) as api:
        assert (await api.post(PODS, pod())).status == 201
