"""A cluster with an audit log and encryption at rest, and what happens when its files are wrong."""
from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.e2e.cluster import Cluster

PASSWORD = "correct-horse-battery-staple"
POLICY = "{apiVersion: audit.k8s.io/v1, kind: Policy, omitStages: [RequestReceived], rules: [{level: RequestResponse, resources: [{group: '', resources: [secrets]}]}]}"
ENCRYPTION = """
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources: [{resources: [secrets], providers: [{aesgcm: {keys: [{name: %s, secret: %s}]}}, {identity: {}}]}]
"""
KEY, OTHER = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))


@pytest.fixture
def bare_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster without nodes; not up yet."""
    cluster = Cluster(f"access-{os.getpid()}", tmp_path / "cluster")
    cluster.directory.mkdir()
    try:
        yield cluster
    finally:
        cluster.tiffin("down", "--purge", "--grace", "0", check=False)


def on_disk(cluster: Cluster) -> bytes:
    """All the files of the data directory."""
    return b"".join(file.read_bytes() for file in cluster.data_dir.rglob("*") if file.is_file())


def test_a_secret_is_nowhere_on_disk_and_everything_is_noted(bare_cluster: Cluster, tmp_path: Path) -> None:
    cluster, policy, encryption = bare_cluster, tmp_path / "policy.yaml", tmp_path / "encryption.yaml"
    policy.write_text(POLICY)
    encryption.write_text(ENCRYPTION % ("one", KEY))
    cluster.up("--nodes", "0", "--audit-policy-file", str(policy), "--encryption-provider-config", str(encryption))
    cluster.kubectl("create", "secret", "generic", "s", f"--from-literal=p={PASSWORD}")
    encoded = base64.b64encode(PASSWORD.encode())
    assert PASSWORD.encode() not in on_disk(cluster) and encoded not in on_disk(cluster)
    events = [orjson.loads(line) for line in (cluster.data_dir / "audit.log").read_text().splitlines()]
    event = next(e for e in events if e["verb"] == "create" and e["objectRef"].get("name") == "s")
    assert event["user"]["username"] == "kubernetes-admin" and event["requestObject"]["data"] == {"p": "REDACTED"}

    cluster.tiffin("down")
    encryption.write_text(ENCRYPTION % ("one", OTHER))
    failed = cluster.tiffin("up", check=False)
    assert failed.returncode == 1 and "secrets default/s is encrypted as aesgcm:one, but not with the key" in failed.stderr
    policy.write_text("{}")
    failed = cluster.tiffin("up", check=False)
    assert failed.returncode == 1 and (f"audit policy file {policy}" in failed.stderr or "is encrypted as" in failed.stderr)
    encryption.write_text(ENCRYPTION % ("one", KEY))
    cluster.up("--audit-policy-file", "")
    assert base64.b64decode(cluster.jsonpath("secret/s", "{.data.p}")).decode() == PASSWORD
