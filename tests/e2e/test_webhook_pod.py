"""An admission webhook where users have theirs: behind a Service, in a pod of a real node, over TLS with an authority of its own."""
from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, Failed, eventually, running
from tests.e2e.conftest import needs_nodes
from tests.e2e.images import SLEEP
from tiffin.net.pki import ensure_pki

pytestmark = needs_nodes

#: Runs with the machine's own Python, which no test image has: the pod's network, the machine's files.
_SERVER = """\
import base64, http.server, json, ssl, sys

class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = review["request"]
        refused = request["object"]["data"].get("word") == "bad"
        patch = [{"op": "add", "path": "/data/seen", "value": request["userInfo"]["username"]}]
        answer = {"uid": request["uid"], "allowed": not refused, "status": {"message": "no bad words"}}
        if not refused:
            answer |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
        body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = http.server.ThreadingHTTPServer(("0.0.0.0", 8443), Hook)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
_POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: hook, labels: {{app: hook}}}}
spec:
  nodeName: {node}
  terminationGracePeriodSeconds: 0
  containers:
  - name: hook
    image: {image}
    command: [chroot, /host, {python}, {script}, {certificate}, {key}]
    volumeMounts: [{{name: host, mountPath: /host, readOnly: true}}]
    readinessProbe: {{tcpSocket: {{port: 8443}}, periodSeconds: 1}}
  volumes: [{{name: host, hostPath: {{path: /}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: hook}}
spec: {{selector: {{app: hook}}, ports: [{{port: 443, targetPort: 8443}}]}}
"""
_CONFIGURATION = """\
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {{name: words}}
webhooks:
- name: words.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  timeoutSeconds: 5
  clientConfig: {{service: {{namespace: default, name: hook}}, caBundle: {authority}}}
  rules: [{{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE], scope: Namespaced}}]
  namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: default}}}}
"""


@pytest.fixture
def hooked(tmp_path: Path, image_files: dict[str, Path]) -> Iterator[Cluster]:
    """Two nodes, and the webhook on the second."""
    pki = ensure_pki(tmp_path / "pki", ["localhost"])
    serving = pki.serving("hook", "hook", ["hook.default.svc"])
    script = tmp_path / "hook.py"
    script.write_text(_SERVER)
    with running(f"hook-{os.getpid()}", tmp_path, "--nodes", "2") as cluster:
        cluster.tiffin("image", "load", str(image_files[SLEEP]))
        pod = _POD.format(node="node-2", image=SLEEP, python=sys.executable, script=script, certificate=serving.certificate, key=serving.key)
        cluster.kubectl("apply", "-f", "-", input=pod)
        cluster.wait("condition=Ready", "pod/hook")
        cluster.kubectl("apply", "-f", "-", input=_CONFIGURATION.format(authority=base64.b64encode(pki.ca_pem).decode()))
        yield cluster


def test_a_webhook_in_a_pod_changes_and_refuses(hooked: Cluster) -> None:
    def create(name: str, word: str) -> str:
        return hooked.kubectl("create", "configmap", name, f"--from-literal=word={word}", check=False).stderr

    assert create("first", "good") == ""
    assert hooked.jsonpath("configmap first", "{.data.seen}") == "kubernetes-admin"
    assert 'admission webhook "words.example.com" denied the request: no bad words' in create("second", "bad")
    hooked.kubectl("delete", "pod", "hook")
    eventually("nobody answers", lambda: not hooked.jsonpath("endpoints hook", "{.subsets}"))
    with pytest.raises(Failed, match=r'failed calling webhook "words\.example\.com"'):
        hooked.kubectl("create", "configmap", "third")
