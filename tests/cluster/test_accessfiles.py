"""The files about access: their flags survive in the cluster's state, and what is wrong with one is said in a sentence."""
from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from tiffin.cluster.accessfiles import AccessFiles, UnusableFile, asked, given, settled
from tiffin.cluster.config import ServerConfig
from tiffin.cluster.controlplane import open_store
from tiffin.machinery.object import Key
from tiffin.store.log import MemoryLog
from tiffin.store.store import Write

NONE = {"audit_policy_file": None, "audit_log_path": None, "encryption_provider_config": None, "authentication_config": None}
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


@pytest.mark.parametrize("name", ["audit_policy_file", "encryption_provider_config", "authentication_config"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    files = AccessFiles(**{name: str(tmp_path / "absent.yaml")})
    with pytest.raises(UnusableFile, match=r"absent\.yaml"):
        files.auditor(tmp_path)
        files.encrypted(MemoryLog())
        files.authentication("x")


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
