"""The configuration file of PodSecurity."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiffin.apiserver.admission.podsecurity.configuration import ConfigurationError, load

OWN = """
apiVersion: pod-security.admission.config.k8s.io/v1
kind: PodSecurityConfiguration
defaults: {enforce: baseline, enforce-version: v1.30, warn: restricted}
exemptions: {usernames: [jane], namespaces: [kube-system], runtimeClasses: [kata]}
"""


def configuration(directory: Path, plugins: str) -> Path:
    file = directory / "admission.yaml"
    file.write_text(f"apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins: {plugins}\n")
    return file


def test_defaults_and_exemptions_of_another_file(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN)
    found = load(configuration(tmp_path, "[{name: PodSecurity, path: own.yaml}]"))
    assert str(found.defaults) == "enforce=baseline:v1.30, warn=restricted:latest"
    assert (found.usernames, found.namespaces, found.runtime_classes) == ({"jane"}, {"kube-system"}, {"kata"})


INLINE = "[{name: PodSecurity, configuration: {apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration, %s}}]"


@pytest.mark.parametrize(("plugins", "message"), [
    ("[{name: Priority}]", "has nothing to configure"),
    ("[{name: PodSecurity, path: absent.yaml}]", "absent.yaml"),
    ("[{name: PodSecurity, configuration: {}}]", "is no PodSecurityConfiguration"),
    ("[{name: PodSecurity, colour: red}]", "unknown field 'colour'"),
    (INLINE % "defaults: {enforce: strict}", "must be one of privileged, baseline, restricted"),
    (INLINE % "defaults: {enforces: baseline}", "unknown field 'enforces'"),
    (INLINE % "exemptions: {usernames: jane}", "is no list of names"),
])  # fmt: skip
def test_what_is_wrong_is_told(tmp_path: Path, plugins: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load(configuration(tmp_path, plugins))


def test_an_empty_list_changes_nothing(tmp_path: Path) -> None:
    assert load(configuration(tmp_path, "[]")).defaults.is_open
