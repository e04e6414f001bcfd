"""schemathesis on our own OpenAPI documents, over the wire: what it makes of them is answered, and never with a fault of the server.

Each operation gets a few requests, some that fit the document and some that do not. Kubernetes answers a handful of wrong requests with 500
by design (a POST with a resource version, say), so what counts is what the server itself calls its fault.
"""
from __future__ import annotations

from typing import Any

import orjson
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.config import SchemathesisConfig

from tests.e2e.cluster import Cluster

FAULT = "this is a fault of the server"
GROUPS = ("api/v1", "apis/batch/v1", "apis/rbac.authorization.k8s.io/v1", "apis/autoscaling/v2", "apis/policy/v1")
LEFT_OUT = ("/proxy", "/exec", "/attach", "/portforward", "/log", "/watch/")
"""Paths that go on to a node, and streams."""
EXAMPLES = settings(max_examples=3, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), derandomize=True, database=None)


class Server:
    """The light cluster over plain HTTP requests."""

    def __init__(self, cluster: Cluster) -> None:
        import yaml

        config = yaml.safe_load((cluster.directory / "kubeconfig").read_text())
        self.address = config["clusters"][0]["cluster"]["server"]
        self.session = requests.Session()
        self.session.trust_env, self.session.verify = False, str(cluster.data_dir / "pki" / "ca.crt")
        self.session.headers["Authorization"] = f"Bearer {(cluster.data_dir / 'admin.token').read_text().strip()}"

    def document(self, group: str) -> Any:
        return orjson.loads(self.session.get(f"{self.address}/openapi/v3/{group}", timeout=30).content)


@pytest.fixture(scope="module")
def server(light_cluster: Cluster) -> Server:
    return Server(light_cluster)


@pytest.mark.parametrize("group", GROUPS)
def test_every_operation_is_answered(server: Server, group: str) -> None:
    document = server.document(group)
    document["paths"] = {path: item for path, item in document["paths"].items() if not any(part in path for part in LEFT_OUT)}
    schema = schemathesis.openapi.from_dict(document, config=SchemathesisConfig())
    asked = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @EXAMPLES
        @given(case=operation.as_strategy())
        def answered(case: Any) -> None:
            nonlocal asked
            ask(server, case)
            asked += 1

        answered()
    assert asked >= len(document["paths"])


def ask(server: Server, case: Any) -> None:
    case.query = {**(case.query or {}), "timeoutSeconds": "1"}
    answer = case.call(base_url=server.address, session=server.session, timeout=30, verify=server.session.verify)
    assert FAULT not in answer.text, (case.as_curl_command(), answer.text)
    assert "Traceback" not in answer.text
