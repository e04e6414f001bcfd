"""A book of the v1.19 years with today's kubectl, against a cluster that serves what Kubernetes has retired."""
from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.cluster import KUBECTLS, Cluster, eventually, running

MANIFESTS = [m for m in yaml.safe_load_all((Path(__file__).parents[1] / "api/legacy/manifests.yaml").read_text()) if m]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def old_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(f"old-{os.getpid()}", tmp_path_factory.mktemp("old"), "--nodes", "0", "--simulated", "2", "--store", "memory", "--legacy-apis") as cluster:
        yield cluster


@pytest.fixture(params=KUBECTLS, ids=lambda path: "venv" if ".venv" in path else "machine")
def book(request: pytest.FixtureRequest, old_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster through one kubectl, in a namespace of the test's own."""
    namespace = f"book-{next(_numbers)}"
    old_cluster.kubectl("create", "namespace", namespace)
    yield old_cluster.through(request.param, namespace)
    old_cluster.kubectl("delete", "namespace", namespace, "--wait=false")


def manifest(name: str) -> str:
    return str(yaml.safe_dump(next(m for m in MANIFESTS if m["metadata"]["name"] == name)))


def test_every_manifest_applies_and_goes(book: Cluster) -> None:
    """`kubectl apply` twice, which has kubectl work out a patch, then `kubectl delete`; each answer has its warning."""
    for each in MANIFESTS:
        if each["kind"] == "Event":  # names the namespace it is about
            continue
        text = yaml.safe_dump(each)
        first = book.kubectl("apply", "-f", "-", input=text)
        assert "created" in first.stdout, first.stdout
        assert f"Warning: {each['apiVersion']} {each['kind']} is deprecated in v1." in first.stderr, first.stderr
        second = book.kubectl("apply", "-f", "-", input=text)
        assert "unchanged" in second.stdout or "configured" in second.stdout, second.stdout
        each.setdefault("metadata", {}).setdefault("annotations", {})["edition"] = "2"
        assert "configured" in book.kubectl("apply", "-f", "-", input=yaml.safe_dump(each)).stdout
        del each["metadata"]["annotations"]["edition"]
        assert "deleted" in book.kubectl("delete", "-f", "-", input=text).stdout


def test_an_old_deployment_runs_and_goes_back(book: Cluster) -> None:
    book.kubectl("apply", "-f", "-", input=manifest("ext-deployment"))
    book.kubectl("rollout", "status", "deployment/ext-deployment", "--timeout=60s")
    assert book.jsonpath("deployment ext-deployment", "{.apiVersion}") == "apps/v1"
    assert book.jsonpath("deployments.v1beta1.extensions ext-deployment", "{.apiVersion} {.spec.progressDeadlineSeconds}") == "extensions/v1beta1 2147483647"
    book.kubectl("set", "image", "deployment/ext-deployment", "web=nginx:1.16")
    book.kubectl("rollout", "status", "deployment/ext-deployment", "--timeout=60s")
    rollback = f"/apis/extensions/v1beta1/namespaces/{book.namespace}/deployments/ext-deployment/rollback"
    body = '{"kind": "DeploymentRollback", "apiVersion": "extensions/v1beta1", "name": "ext-deployment", "rollbackTo": {"revision": 1}}'
    assert "succeeded" in book.kubectl("create", "--raw", rollback, "-f", "-", input=body).stdout
    eventually("the first image is back", lambda: book.jsonpath("deployment ext-deployment", "{.spec.template.spec.containers[0].image}") == "nginx:1.15")
    scale = book.kubectl("get", "--raw", rollback.replace("rollback", "scale")).stdout
    assert '"targetSelector":"app=web"' in scale


def test_an_old_ingress_is_shown_in_both_versions(book: Cluster) -> None:
    book.kubectl("apply", "-f", "-", input=manifest("ext-ingress"))
    assert book.jsonpath("ingress.v1beta1.extensions ext-ingress", "{.spec.backend.servicePort}") == "http"
    assert book.jsonpath("ingress ext-ingress", "{.spec.defaultBackend.service.port.name}") == "http"
    plain, old = (book.kubectl("get", what) for what in ("ingress", "ingresses.v1beta1.extensions"))
    assert plain.stderr == "" and plain.stdout == old.stdout
    assert "Warning: extensions/v1beta1 Ingress is deprecated in v1.14+, unavailable in v1.22+; use networking.k8s.io/v1 Ingress" in old.stderr
    edited = book.kubectl("patch", "ingresses.v1beta1.extensions", "ext-ingress", "--type=json", "-p", '[{"op": "replace", "path": "/spec/backend/serviceName", "value": "x"}]')
    assert "patched" in edited.stdout
    assert book.jsonpath("ingress ext-ingress", "{.spec.defaultBackend.service.name}") == "x"


def test_explain_and_server_side_apply(book: Cluster) -> None:
    told = book.kubectl("explain", "ingress.spec.backend", "--api-version=extensions/v1beta1").stdout
    assert "serviceName" in told and "servicePort" in told and "VERSION:" in told and "v1beta1" in told
    assert "FIELDS" in book.kubectl("explain", "podsecuritypolicies.spec", "--api-version=policy/v1beta1").stdout
    applied = book.kubectl("apply", "--server-side", "-f", "-", input=manifest("apps1-statefulset"))
    assert "serverside-applied" in applied.stdout
    assert book.jsonpath("statefulset apps1-statefulset", "{.spec.updateStrategy.type}") == "OnDelete"
    assert "serverside-applied" in book.kubectl("apply", "--server-side", "-f", "-", input=manifest("apps1-statefulset")).stdout


def test_pod_security_policies_are_listed(book: Cluster) -> None:
    book.kubectl("apply", "-f", "-", input=manifest("policy-privileged"))
    lines = book.kubectl("get", "psp").stdout.splitlines()
    assert lines[0].split() == ["NAME", "PRIV", "CAPS", "SELINUX", "RUNASUSER", "FSGROUP", "SUPGROUP", "READONLYROOTFS", "VOLUMES"]
    assert ["policy-privileged", "true", "*", "RunAsAny", "RunAsAny", "RunAsAny", "RunAsAny", "false", "*"] in [line.split() for line in lines]
    book.kubectl("delete", "psp", "policy-privileged")


def test_pod_security_policies_need_the_old_versions(tmp_path: Path) -> None:
    cluster = Cluster(f"psp-{os.getpid()}", tmp_path)
    refused = cluster.tiffin("up", "--nodes", "0", "--store", "memory", "--enable-pod-security-policy", check=False)
    assert refused.returncode == 1 and "PodSecurityPolicies are served with the retired APIs only" in refused.stderr


def test_pod_security_policies_decide(tmp_path: Path) -> None:
    flags = ("--nodes", "0", "--simulated", "1", "--legacy-apis", "--enable-pod-security-policy")
    with running(f"psps-{os.getpid()}", tmp_path, *flags) as cluster:
        pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: c, securityContext: {privileged: true}}]}\n"
        refused = cluster.kubectl("create", "-f", "-", input=pod, check=False)
        assert "no providers available to validate pod request" in refused.stderr
        cluster.kubectl("apply", "-f", "-", input=manifest("policy-privileged"))
        assert "created" in cluster.kubectl("create", "-f", "-", input=pod).stdout
        assert cluster.jsonpath("pod a", r"{.metadata.annotations.kubernetes\.io/psp}") == "policy-privileged"
        cluster.up("--no-legacy-apis")  # and with them the policies
        assert "NotFound" in cluster.kubectl("get", "--raw", "/apis/policy/v1beta1", check=False).stderr
        assert "created" in cluster.kubectl("create", "-f", "-", input=pod.replace("name: a", "name: b")).stdout
        assert cluster.jsonpath("pod b", "{.metadata.annotations}") == ""
