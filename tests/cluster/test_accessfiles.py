"""The files about access: their flags survive in the cluster's state, and what is wrong with one is said in a sentence."""
from __future__ import annotations

from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from tiffin.apiserver.audit import webhook
from tiffin.apiserver.authz.attributes import Attributes
from tiffin.apiserver.user import User
from tiffin.cluster.accessfiles import AccessFiles, UnusableFile, asked, given, settled
from tiffin.cluster.config import ServerConfig
from tiffin.cluster.controlplane import open_store
from tiffin.machinery.object import Key
from tiffin.net.http import Request, Response
from tiffin.net.server import Server
from tiffin.store.log import MemoryLog
from tiffin.store.store import Write

NONE = {"audit_policy_file": None, "audit_log_path": None, "audit_webhook_config_file": None, "encryption_provider_config": None, "authentication_config": None,
        "admission_control_config_file": None}
ENCRYPTION = """
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources: [{resources: [secrets], providers: [{aesgcm: {keys: [{name: a, secret: %s}]}}]}]
"""


def test_flags_are_kept_added_and_taken_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    first = asked(Namespace(**{**NONE, "audit_policy_file": "policy.yaml", "authentication_config": "/etc/a.yaml"}))
    assert first == (f"--audit-policy-file={tmp_path}/policy.yaml", "--authentication-config=/etc/a.yaml")
    assert asked(Namespace(**NONE)) == ()
    kept = settled(first, ["--audit-log-path=/var/log/audit", "--authentication-config="])
    assert kept == (f"--audit-policy-file={tmp_path}/policy.yaml", "--audit-log-path=/var/log/audit")
    assert given(Namespace(**{**NONE, "audit_log_path": "/x"})) == AccessFiles(audit_log_path="/x")


def test_without_files_nothing_is_loaded(tmp_path: Path) -> None:
    files, log = AccessFiles(), MemoryLog()
    assert files.auditor(tmp_path) is None and files.encrypted(log) is log and files.authentication("x").issuers == ()


@pytest.mark.parametrize("name", ["audit_policy_file", "encryption_provider_config", "authentication_config", "admission_control_config_file"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    files = AccessFiles(**{name: str(tmp_path / "absent.yaml")})
    with pytest.raises(UnusableFile, match=r"absent\.yaml"):
        files.auditor(tmp_path)
        files.encrypted(MemoryLog())
        files.authentication("x")
        files.pod_security()


async def test_objects_that_cannot_be_decrypted_are_named(tmp_path: Path) -> None:
    def config(key: str) -> ServerConfig:
        file = tmp_path / f"{key[:4]}.yaml"
        file.write_text(ENCRYPTION % key)
        return ServerConfig(tmp_path, access=AccessFiles(encryption_provider_config=str(file)))

    store = open_store(config("MDEyMzQ1Njc4OWFiY2RlZg=="))
    await store.commit(Write("secrets", Key("default", "s"), {"metadata": {"name": "s"}}, 0))
    await store.close()
    with pytest.raises(UnusableFile, match=r"secrets default/s is encrypted as aesgcm:a, but not with the key .*YWFh\.yaml"):
        open_store(config("YWFhYWFhYWFhYWFhYWFhYQ=="))
    with pytest.raises(UnusableFile, match="tell the server its encryption provider config"):
        open_store(ServerConfig(tmp_path))


POLICY = "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Metadata}]}"


async def test_events_are_posted_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "FIRST_RETRY", 0.0)
    got: list[tuple[str, int]] = []
    statuses = [503, 200]

    async def collect(request: Request) -> Response:
        got.append((request.raw_path, len(orjson.loads(request.body)["items"])))
        return Response(statuses.pop(0) if statuses else 200)

    server = Server(collect)
    port = await server.start("127.0.0.1", 0)
    (tmp_path / "policy.yaml").write_text(POLICY)
    for path in ("", "/events"):
        kubeconfig = {"clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}{path}"}}], "users": [{"name": "u", "user": {}}],
                      "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}], "current-context": "x"}  # fmt: skip
        (tmp_path / "hook.yaml").write_text(orjson.dumps(kubeconfig).decode())
        auditor = AccessFiles(audit_policy_file=str(tmp_path / "policy.yaml"), audit_webhook_config_file=str(tmp_path / "hook.yaml")).auditor(tmp_path)
        assert auditor is not None
        for number in range(webhook.MAX_BATCH + 5):
            record = auditor.record(Attributes(User("jane"), "get", path="/x", is_resource=False), str(number), datetime.now(UTC))
            assert record is not None
            auditor.note(record, "ResponseComplete")
        await auditor.close()
    assert got == [("/", 400), ("/", 400), ("/", 5), ("/events", 400), ("/events", 5)]
    assert not (tmp_path / "audit.log").exists()
    await server.stop(grace=0)


async def test_a_webhook_that_takes_nothing_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(body: bytes) -> int:
        return 400

    hook = webhook.Webhook(refuse)
    hook.write({"kind": "Event"})
    await hook.close()
    assert "status 400; 1 lost so far" in caplog.text
