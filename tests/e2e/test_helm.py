"""helm, untouched: a chart with a custom kind and hooks is installed, upgraded, rolled back and removed."""
from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.e2e.cluster import Cluster, Failed

HELM = Path(sys.prefix, "bin", "helm")
CHART = Path(__file__).parent / "charts" / "lunch"

pytestmark = pytest.mark.skipif(not HELM.exists(), reason="helm comes with `make setup-dev`")

_numbers = itertools.count(1)


class Release:
    """A release named `lunch` in a namespace of its own."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster.through(cluster.kubectl_command()[0], f"helm-{next(_numbers)}")
        self.cluster.kubectl("create", "namespace", self.cluster.namespace)
        self.cluster.kubectl("create", "configmap", "given", "--from-literal=a=b")

    def helm(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [str(HELM), "--namespace", self.cluster.namespace, *arguments]
        result = subprocess.run(command, env=self.cluster.environment, text=True, capture_output=True, check=False, timeout=120)
        if check and result.returncode:
            raise Failed(f"{' '.join(command)}\n{result.stdout}{result.stderr}")
        return result

    def config_maps(self) -> set[str]:
        names = self.cluster.jsonpath("configmaps", "{.items[*].metadata.name}").split()
        return {name.removeprefix("lunch-") for name in names if name.startswith("lunch-")}

    def field(self, what: str, path: str) -> str:
        return self.cluster.jsonpath(what, path)


@pytest.fixture
def release(light_cluster: Cluster) -> Iterator[Release]:
    made = Release(light_cluster)
    yield made
    made.helm("uninstall", "lunch", "--ignore-not-found", "--no-hooks")
    made.cluster.kubectl("delete", "namespace", made.cluster.namespace, "--wait=false")
    made.cluster.kubectl("delete", "crd", "menus.charts.tiffin.dev", "--ignore-not-found")


def test_the_whole_life_of_a_release(release: Release) -> None:
    release.helm("install", "lunch", str(CHART), "--wait", "--timeout", "60s")
    assert release.field("deployment lunch-web", "{.status.availableReplicas}") == "2"
    assert release.field("menu lunch", "{.spec.dish}") == "soup"
    assert release.config_maps() == {"pre-install", "post-install", "seen"}
    assert release.field("configmap lunch-seen", "{.data.version}") .startswith("v1.36.")
    assert orjson.loads(release.field("configmap lunch-seen", "{.data.before}")) == {"a": "b"}

    release.helm("upgrade", "lunch", str(CHART), "--set", "replicas=3,menu=curry", "--wait", "--timeout", "60s")
    assert release.field("deployment lunch-web", "{.status.availableReplicas} {.metadata.labels.revision}") == "3 2"
    assert release.field("menu lunch", "{.spec.dish}") == "curry"
    assert release.field("configmap lunch-pre-upgrade", "{.data.revision}") == "2"
    assert "curry" in release.helm("get", "values", "lunch").stdout

    release.helm("rollback", "lunch", "1", "--wait", "--timeout", "60s")
    assert release.field("deployment lunch-web", "{.spec.replicas}") == "2"
    assert release.field("menu lunch", "{.spec.dish}") == "soup"
    history = orjson.loads(release.helm("history", "lunch", "-o", "json").stdout)
    assert [entry["status"] for entry in history] == ["superseded", "superseded", "deployed"]
    assert "Rollback to 1" in history[-1]["description"]

    release.helm("uninstall", "lunch", "--wait", "--timeout", "60s")
    assert release.field("deployments,services,menus", "{.items[*].metadata.name}") == ""
    assert "pre-delete" in release.config_maps()
    assert release.cluster.get("crd", "menus.charts.tiffin.dev", "-o", "name"), "helm never removes the definitions it installed"


def test_a_value_that_the_server_refuses_leaves_the_release_as_it_was(release: Release) -> None:
    release.helm("install", "lunch", str(CHART))
    refused = release.helm("upgrade", "lunch", str(CHART), "--set", "menu=x", check=False)
    assert refused.returncode and "spec.dish" in refused.stderr and "should be at least 3 chars long" in refused.stderr
    assert release.field("menu lunch", "{.spec.dish}") == "soup"
    broken = release.helm("upgrade", "lunch", str(CHART), "--set", "broken=true", "--rollback-on-failure", check=False)
    assert broken.returncode and "a valid config key must consist of alphanumeric characters" in broken.stderr
    assert release.field("configmaps", "{.items[?(@.metadata.name==\"lunch-broken\")].metadata.name}") == ""


def test_what_a_dry_run_on_the_server_says(release: Release) -> None:
    release.cluster.kubectl("apply", "-f", str(CHART / "crds"))  # a dry run installs no definitions
    release.cluster.wait("condition=Established", "crd/menus.charts.tiffin.dev")
    shown = release.helm("install", "lunch", str(CHART), "--dry-run=server").stdout
    assert "kind: Menu" in shown and '{"a":"b"}' in shown.replace("\\", "")
    assert release.config_maps() == set()
    assert release.helm("status", "lunch", check=False).returncode


def test_drift_is_taken_over_or_reported(release: Release) -> None:
    release.helm("install", "lunch", str(CHART))
    release.cluster.kubectl("scale", "deployment/lunch-web", "--replicas=5")
    forced = release.helm("upgrade", "lunch", str(CHART), "--set", "replicas=4", "--force-conflicts", check=False)
    assert forced.returncode == 0, forced.stderr
    assert release.field("deployment lunch-web", "{.spec.replicas}") == "4"
