"""What the server says of objects that are wrong, for the kinds of the smaller groups: one row a rule."""
from __future__ import annotations

import base64
import copy
from datetime import UTC, datetime
from importlib import import_module

import pytest

from tiffin.api.kind import Context, Kind

CONTEXT = Context(datetime(2024, 1, 1, tzinfo=UTC))
LABEL = ("a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric "
         "character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')")


def kind_of(module: str) -> Kind:
    return import_module(f"tiffin.api.{module}").KIND


def filled(kind: Kind, content: dict) -> dict:
    obj = {"metadata": {"name": "x"}} | copy.deepcopy(content)
    kind.default(obj)
    return obj


def told(module: str, content: dict) -> list[str]:
    kind = kind_of(module)
    obj = filled(kind, content)
    kind.prepare_for_create(obj, CONTEXT)
    return [str(error) for error in kind.validate(obj, CONTEXT)]


def told_of_update(module: str, before: dict, after: dict, subresource: str = "") -> list[str]:
    kind = kind_of(module)
    old, new = filled(kind, before), filled(kind, after)
    if subresource:
        sub = kind.subresource_by_name[subresource]
        sub.prepare(new, old, CONTEXT)
        return [str(error) for error in sub.validate(new, old, CONTEXT)]
    kind.prepare_for_update(new, old, CONTEXT)
    return [str(error) for error in kind.validate_update(new, old, CONTEXT)]


def policy(**port):
    return {"spec": {"ingress": [{"ports": [port]}]}}


NETWORK = [
    ("networkpolicy", policy(port=80, endPort=90), []),
    ("networkpolicy", policy(protocol="ICMP"), [
        'spec.ingress[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"']),
    ("networkpolicy", policy(protocol=""), [
        'spec.ingress[0].ports[0].protocol: Unsupported value: "": supported values: "TCP", "UDP", "SCTP"']),
    ("networkpolicy", policy(endPort=90), [
        "spec.ingress[0].ports[0].endPort: Invalid value: 90: may not be specified when `port` is not specified"]),
    ("networkpolicy", policy(port="http", endPort=90), [
        "spec.ingress[0].ports[0].endPort: Invalid value: 90: may not be specified when `port` is non-numeric"]),
    ("networkpolicy", policy(port=80, endPort=79), [
        "spec.ingress[0].ports[0].endPort: Invalid value: 79: must be greater than or equal to `port`"]),
    ("networkpolicy", {"spec": {"policyTypes": ["Odd"]}}, [
        'spec.policyTypes[0]: Unsupported value: "Odd": supported values: "Ingress", "Egress"']),
    ("networkpolicy", {"spec": {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8", "11.0.0.0/9"]}}]}]}}, [
        f'spec.egress[0].to[0].ipBlock.except[{i}]: Invalid value: "{value}": must be a strict subset of `cidr`'
        for i, value in enumerate(("10.0.0.0/8", "11.0.0.0/9"))]),
    ("networkpolicy", {"spec": {"egress": [{"to": [{"ipBlock": {"cidr": "x", "except": ["y"]}}]}]}}, [
        'spec.egress[0].to[0].ipBlock.cidr: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)']),
    ("ingress", {"spec": {"rules": [{"http": {"paths": [{"path": "x"}]}}]}}, [
        "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"]),
    ("ingress", {"metadata": {"annotations": {"kubernetes.io/ingress.class": "a"}},
                 "spec": {"ingressClassName": "b", "defaultBackend": {"service": {"name": "s", "port": {"number": 1}}}}}, [
        'annotations.kubernetes.io/ingress.class: Invalid value: "a": must match `ingressClassName` when both are specified']),
    ("ingress", {"metadata": {"annotations": {"kubernetes.io/ingress.class": "a"}},
                 "spec": {"ingressClassName": "a", "defaultBackend": {"service": {"name": "s", "port": {"number": 1}}}}}, []),
    ("ingressclass", {"spec": {"controller": "a.io/b", "parameters": {"kind": "K", "name": "n", "scope": ""}}}, [
        'spec.parameters.scope: Unsupported value: "": supported values: "Cluster", "Namespace"']),
    ("ingressclass", {"spec": {"controller": "a.io/b", "parameters": {"kind": "K", "name": "n", "scope": "Namespace", "namespace": ""}}}, [
        f'spec.parameters.namespace: Invalid value: "": {LABEL}']),
    ("ingressclass", {"spec": {"controller": "a.io/" + "b" * 250}}, ["spec.controller: Too long: may not be more than 250 bytes"]),
    ("servicecidr", {"spec": {"cidrs": ["10.0.0.0/8", "10.0.0.1/8"]}}, [
        'spec.cidrs[1]: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length',
        'spec.cidrs: Invalid value: ["10.0.0.0/8","10.0.0.1/8"]: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and '
        "2001:db8::/64"]),
]


@pytest.mark.parametrize(("module", "content", "expected"), NETWORK)
def test_networking(module, content, expected):
    assert told(f"networking.{module}", content) == expected


def test_a_second_range_must_be_right():
    one = {"spec": {"cidrs": ["10.0.0.0/8"]}}
    assert told_of_update("networking.servicecidr", one, {"spec": {"cidrs": ["10.0.0.0/8", "2001:db8::/64"]}}) == []
    same = ('spec.cidrs: Invalid value: ["11.0.0.0/8","12.0.0.0/8"]: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and '
            "2001:db8::/64")
    assert told_of_update("networking.servicecidr", one, {"spec": {"cidrs": ["11.0.0.0/8", "12.0.0.0/8"]}}) == [
        same, 'spec.cidrs[0]: Invalid value: "11.0.0.0/8": field is immutable', same]


def topologies(*terms):
    return {"provisioner": "p", "allowedTopologies": [{"matchLabelExpressions": [{"key": k, "values": v} for k, v in term]} for term in terms]}


STORAGE = [
    ("storageclass", {"provisioner": "p", "reclaimPolicy": "", "volumeBindingMode": ""}, [
        'volumeBindingMode: Unsupported value: "": supported values: "Immediate", "WaitForFirstConsumer"']),
    ("storageclass", {"provisioner": "p", "parameters": {f"k{i}": "" for i in range(513)}}, ["parameters: Too long: may not be more than 512 bytes"]),
    ("storageclass", topologies([("k", ["a"]), ("k", ["b"])]), ['allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: "k"']),
    ("storageclass", topologies([("k", ["a", "b"])], [("k", ["b", "a"])]), ['allowedTopologies[1].matchLabelExpressions: Duplicate value: ""']),
    ("storageclass", {"provisioner": "p", "allowedTopologies": [{}]}, ['allowedTopologies[0].matchLabelExpressions: Duplicate value: ""']),
    ("csidriver", {"spec": {"serviceAccountTokenInSecrets": False, "tokenRequests": []}}, [
        "spec.serviceAccountTokenInSecrets: Invalid value: false: serviceAccountTokenInSecrets is set but no tokenRequests are specified"]),
    ("csidriver", {"spec": {"serviceAccountTokenInSecrets": True, "tokenRequests": [{"audience": "a"}]}}, []),
    ("csidriver", {"spec": {"tokenRequests": [{"audience": "a"}, {"audience": "a", "expirationSeconds": 1}]}}, [
        'spec.tokenRequests[1].audience: Duplicate value: "a"']),
    ("csinode", {"spec": {"drivers": [{"name": "a", "nodeID": "n" * 257}]}}, [
        f'spec.drivers[0].nodeID: Invalid value: "{"n" * 257}": must be 256 characters or less']),
    ("csinode", {"spec": {"drivers": [{"name": "a" * 64, "nodeID": "n"}]}}, ["spec.drivers[0].name: Too long: may not be more than 63 bytes"]),
    ("csistoragecapacity", {"storageClassName": "s", "capacity": "-1", "maximumVolumeSize": "-1"}, [
        'capacity: Invalid value: "-1": must be greater than or equal to 0']),
    ("volumeattachment", {"spec": {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": ""}}}, [
        "spec.source.persistentVolumeName: Required value: must specify non empty persistentVolumeName",
        'spec.source.persistentVolumeName: Invalid value: "": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '
        "'-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"]),
]


@pytest.mark.parametrize(("module", "content", "expected"), STORAGE)
def test_storage(module, content, expected):
    assert told(f"storage.{module}", content) == expected


def test_updates_in_storage():
    spec = {"spec": {"tokenRequests": [{"audience": "a"}, {"audience": "a"}]}}
    assert told_of_update("storage.csidriver", spec, spec) == ['spec.tokenRequests[1].audience: Duplicate value: "a"'] * 2
    node = {"spec": {"drivers": [{"name": "d", "nodeID": "n", "allocatable": {"count": 1}}]}}
    assert told_of_update("storage.csinode", node, {"spec": {"drivers": [{"name": "d", "nodeID": "m"}]}}) == [
        'CSINodeDriver: Invalid value: {"Name":"d","NodeID":"m","TopologyKeys":null,"Allocatable":null}: field is immutable']
    attachment = {"spec": {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "p"}}}
    reported = attachment | {"status": {"attached": True, "attachError": {"message": "m" * 1025}}}
    assert told_of_update("storage.volumeattachment", attachment, reported, "status") == [
        "status.attachError.message: Too long: may not be more than 262144 bytes"]
    assert told_of_update("storage.storageclass", topologies([("k", ["a"])]), topologies([("k", ["b"])])) == []


def flow(**rule):
    subject = {"kind": "User", "user": {"name": "u"}}
    return {"spec": {"priorityLevelConfiguration": {"name": "l"}, "rules": [{"subjects": [subject]} | rule]}}


def paths(*urls):
    return flow(nonResourceRules=[{"verbs": ["get"], "nonResourceURLs": list(urls)}])


WRONG_PATHS = [("", "must not be empty"), ("x", "must start with slash"), ("/a b", "must not contain white-space"),
               ("/a//b", "must not contain double slash"), ("/a*", "wildcard can only do suffix matching")]


def test_flow_schemas():
    assert told("flowcontrol.flowschema", paths("/", "/healthz", "/api/*")) == []
    assert told("flowcontrol.flowschema", paths(*(url for url, _ in WRONG_PATHS))) == [
        f'spec.rules[0].nonResourceRules[0].nonResourceURLs[{i}]: Invalid value: "{url}": {fault}' for i, (url, fault) in enumerate(WRONG_PATHS)]
    rule = {"verbs": ["get"], "apiGroups": ["a"], "resources": ["r"], "namespaces": ["Bad"]}
    assert told("flowcontrol.flowschema", flow(resourceRules=[rule])) == [
        f"spec.rules[0].resourceRules[0].namespaces[0]: Invalid value: \"Bad\": each member of this list must be '*' or a DNS-1123 label; {LABEL}"]
    subject = {"kind": "ServiceAccount", "user": {"name": "u"}, "group": {"name": "g"}}
    assert told("flowcontrol.flowschema", flow(subjects=[subject], resourceRules=[rule | {"namespaces": ["*"]}])) == [
        "spec.rules[0].subjects[0].serviceAccount: Required value: serviceAccount is required when subject kind is 'ServiceAccount'",
        "spec.rules[0].subjects[0].user: Forbidden: user is forbidden when subject kind is not 'User'",
        "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'"]
    status = flow() | {"status": {"conditions": [{"type": "A"}, {"type": "A"}, {}]}}
    for module in ("flowschema", "prioritylevelconfiguration"):
        assert told_of_update(f"flowcontrol.{module}", flow(), status, "status") == [
            'status.conditions[1].type: Duplicate value: "A"', "status.conditions[2].type: Required value: must not be empty"]


def level(**limited):
    return {"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}} | limited}}


def queuing(**fields):
    return level(limitResponse={"type": "Queue", "queuing": fields})


@pytest.mark.parametrize(("content", "expected"), [
    ({"spec": {"type": "Limited"}}, ["spec.limited: Required value: must not be empty when type is Limited"]),
    (level(nominalConcurrencyShares=-1, lendablePercent=101, borrowingLimitPercent=-1), [
        "spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
        "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
        "spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer"]),
    (queuing(queues=-1, handSize=-1, queueLengthLimit=-1), [
        f"spec.limited.limitResponse.queuing.{field}: Invalid value: -1: must be positive" for field in ("queueLengthLimit", "queues", "handSize")]),
    (queuing(queues=4, handSize=5), [
        "spec.limited.limitResponse.queuing.handSize: Invalid value: 5: should not be greater than queues (4)"]),
    (queuing(queues=512, handSize=8), [
        "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: required entropy bits of deckSize 512 and handSize 8 should not be greater "
        "than 60"]),
])
def test_priority_levels(content, expected):
    assert told("flowcontrol.prioritylevelconfiguration", content) == expected


def pem(kind: str, content: bytes) -> str:
    text = f"-----BEGIN {kind}-----\n{base64.b64encode(content).decode()}\n-----END {kind}-----\n"
    return base64.b64encode(text.encode()).decode()


SIGNED = pem("CERTIFICATE REQUEST", b"\x30\x03abc")


def csr(**spec):
    return {"spec": {"request": SIGNED, "signerName": "example.com/s", "usages": ["any"]} | spec}


@pytest.mark.parametrize(("content", "expected"), [
    (csr(), []),
    (csr(signerName="example.com/a/b"), [
        'spec.signerName: Invalid value: "example.com/a/b": must be a fully qualified domain and path of the form \'example.com/signer-name\'']),
    (csr(signerName="example/s"), ['spec.signerName: Invalid value: "example": should be a domain with at least two segments separated by dots']),
    (csr(signerName="Bad.example.com/s"), [f'spec.signerName: Invalid value: "Bad.example.com": validating label "Bad": {LABEL}']),
    (csr(usages=[]), ["spec.usages: Required value"]),
    (csr(usages=["any", "odd", "any"]), None),
    (csr(request=pem("CERTIFICATE", b"\x30\x00")), None),
    (csr(request=pem("CERTIFICATE REQUEST", b"abc")), None),
])
def test_certificate_requests(content, expected):
    found = told("certificates.certificatesigningrequest", content)
    if expected is not None:
        assert found == expected
    elif len(content["spec"]["usages"]) > 1:
        assert [text.split(":")[0] for text in found] == ["spec.usages[1]", "spec.usages[2]"]
    elif content["spec"]["request"] != pem("CERTIFICATE REQUEST", b"abc"):
        assert found == [f'spec.request: Invalid value: "{content["spec"]["request"]}": PEM block type must be CERTIFICATE REQUEST']
    else:
        assert "asn1: structure error: tags don't match (16 vs {class:1 tag:1 length:98 isCompound:true}) {optional:false" in found[0]


@pytest.mark.parametrize(("text", "fault"), [
    (pem("CERTIFICATE", b"\x30\x00"), ""),
    (pem("PRIVATE KEY", b"\x30\x00"), 'only CERTIFICATE PEM blocks are allowed, found "PRIVATE KEY"'),
    (base64.b64encode(b"text").decode(), "must contain at least one CERTIFICATE PEM block"),
    (pem("CERTIFICATE", b"text"), "x509: malformed certificate"),
    (base64.b64encode(b"-----BEGIN CERTIFICATE-----\nA: b\n\nMAA=\n-----END CERTIFICATE-----\n").decode(), "no PEM block headers are permitted"),
])
def test_certificates(text, fault):
    found = told_of_update("certificates.certificatesigningrequest", csr(), csr() | {"status": {"certificate": text}}, "status")
    assert found == ([f'status.certificate: Invalid value: "<certificate data>": {fault}'] if fault else [])


def test_the_rest():
    assert told("node.runtimeclass", {"handler": "h", "overhead": {"podFixed": {"cpu": "-1"}}}) == [
        'overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0']
    found = told("rbac.clusterrole", {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"bad key": "x"}}]}})
    assert found[-1] == "aggregationRule.clusterRoleSelectors[0]: Invalid value: null: invalid label selector."
    budget = {"spec": {}, "status": {"conditions": [{"type": "T", "status": "True"}], "currentHealthy": -1}}
    assert told_of_update("policy.poddisruptionbudget", {"spec": {}}, budget, "status") == [
        "status.conditions[0].lastTransitionTime: Required value: must be set", "status.conditions[0].reason: Required value: must be set",
        "status.currentHealthy: Invalid value: -1: must be greater than or equal to 0"]
    service = {"spec": {"group": "g.io", "version": "v1"}}
    assert told_of_update("apiregistration.apiservice", service, service | {"status": {"conditions": [{"type": "A", "status": "Odd"}]}}, "status") == [
        'status.conditions[0].status: Unsupported value: "Odd": supported values: "True", "False", "Unknown"']


@pytest.mark.parametrize("module", ["flowcontrol.flowschema", "flowcontrol.prioritylevelconfiguration", "storage.volumeattachment"])
def test_labels_do_not_change_through_a_status(module):
    kind = kind_of(module)
    old = filled(kind, {"metadata": {"name": "x", "labels": {"a": "b"}, "resourceVersion": "1"}, "spec": {}})
    new = filled(kind, {"metadata": {"name": "x", "labels": {"c": "d"}, "resourceVersion": "1", "managedFields": [{"manager": "m"}]}, "spec": {}})
    kind.subresource_by_name["status"].prepare(new, old, CONTEXT)
    assert new["metadata"] == {"name": "x", "labels": {"a": "b"}, "resourceVersion": "1", "managedFields": [{"manager": "m"}]}
    assert kind.subresource_by_name["status"].resets == (("spec",), ("metadata",))


@pytest.mark.parametrize(("module", "content", "expected"), [
    ("scheduling.priorityclass", {"preemptionPolicy": ""}, ["preemptionPolicy: Required value"]),
    ("discovery.endpointslice", {"addressType": "IPv4", "ports": [{"protocol": ""}]}, [
        'ports[0].protocol: Unsupported value: "": supported values: "SCTP", "TCP", "UDP"']),
])
def test_empty_is_not_missing(module, content, expected):
    assert told(module, content) == expected


@pytest.mark.parametrize(("status", "deleting", "state"), [
    ({}, False, "pending"), ({}, True, "deleted"), ({"allocation": {}}, False, "allocated"),
    ({"allocation": {}, "reservedFor": [{"uid": "u"}]}, True, "deleted,allocated,reserved"),
])
def test_the_state_of_claims(status, deleting, state):
    metadata = {"name": "c"} | ({"deletionTimestamp": "2024-01-01T00:00:00Z"} if deleting else {})
    assert kind_of("resource.resourceclaim").row({"metadata": metadata, "status": status}, CONTEXT.now)[1] == state


@pytest.mark.parametrize(("module", "before", "after", "expected"), [
    ("rbac.role", {}, {"rules": [{"verbs": [], "nonResourceURLs": ["/"]}]}, [
        "rules[0].verbs: Required value: verbs must contain at least one value",
        'rules[0].nonResourceURLs: Invalid value: ["/"]: namespaced rules cannot apply to non-resource URLs'] * 2),
    ("node.runtimeclass", {"handler": "h"}, {"handler": "h", "overhead": {"podFixed": {"cpu": "-1"}}}, [
        'overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0']),
    ("storage.storageclass", {"provisioner": "p"}, {"provisioner": "p", "reclaimPolicy": "Odd"}, [
        'reclaimPolicy: Unsupported value: "Odd": supported values: "Delete", "Retain"',
        'reclaimPolicy: Invalid value: "Odd": field is immutable']),
    ("networking.ipaddress", {"spec": {"parentRef": {"resource": "r", "name": "n"}}}, {"spec": {}}, [
        "spec.parentRef: Required value", "spec.parentRef: Invalid value: null: field is immutable"]),
    ("storage.csistoragecapacity", {"storageClassName": "s"}, {"storageClassName": "s", "capacity": "-1"}, [
        'capacity: Invalid value: "-1": must be greater than or equal to 0']),
])
def test_updates(module, before, after, expected):
    assert told_of_update(module, before, after) == expected


@pytest.mark.parametrize(("module", "content", "expected"), [
    ("networking.ingress", {"metadata": {"annotations": {"kubernetes.io/ingress.class": "a"}}, "spec": {}}, [
        "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"]),
    ("networking.networkpolicy", {"spec": {"ingress": [{"from": [{"ipBlock": {"cidr": "2001:DB8::/32"}}]}]}}, [
        'spec.ingress[0].from[0].ipBlock.cidr: IPv6 CIDR value "2001:DB8::/32" should be in RFC 5952 canonical format ("2001:db8::/32")']),
    ("node.runtimeclass", {"scheduling": {"nodeSelector": {"beta.kubernetes.io/os": "linux"}}}, [
        'scheduling.nodeSelector: deprecated since v1.14; use "kubernetes.io/os" instead']),
    ("storage.storageclass", topologies([("failure-domain.beta.kubernetes.io/zone", ["a"])]), [
        "allowedTopologies[0].matchLabelExpressions[0].key: failure-domain.beta.kubernetes.io/zone is deprecated since v1.17; use "
        '"topology.kubernetes.io/zone" instead']),
    ("storage.csistoragecapacity", {"nodeTopology": {"matchLabels": {"beta.kubernetes.io/arch": "a"}}}, [
        'nodeTopology.matchLabels.beta.kubernetes.io/arch: deprecated since v1.14; use "kubernetes.io/arch" instead']),
])
def test_warnings(module, content, expected):
    assert kind_of(module).warnings(filled(kind_of(module), content), None) == expected


@pytest.mark.parametrize(("name", "fields", "fault"), [
    ("system-x", {}, "system-x is not a known system priority class"),
    ("system-node-critical", {"value": 1}, "value of system-node-critical PriorityClass must be 2000001000"),
    ("system-node-critical", {"value": 2000001000, "globalDefault": True}, "globalDefault of system-node-critical PriorityClass must be false"),
])
def test_the_systems_own_priorities(name, fields, fault):
    words = "priority class names with 'system-' prefix are reserved for system use only. error: "
    assert told("scheduling.priorityclass", {"metadata": {"name": name}} | fields) == [f"metadata.name: Forbidden: {words}{fault}"]
