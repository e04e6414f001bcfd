"""The old rollback of Deployments: a note on the deployment names the revision."""
from __future__ import annotations

import pytest

from tests.controllers.cluster import Cluster, made
from tests.controllers.test_deployment import cluster, template, web
from tiffin.controllers.deploymentrollback import NOTE
from tiffin.controllers.resources import DEPLOYMENTS
from tiffin.machinery.object import annotations_of, dig


def version(c: Cluster) -> str:
    return str(dig(c.one(DEPLOYMENTS, "web"), "spec", "template", "metadata", "labels", "v"))


async def rolled_out(c: Cluster) -> None:
    """Three revisions: versions 1, 2, 3."""
    await c.create(DEPLOYMENTS, web())
    for number in ("2", "3"):
        await c.patch(DEPLOYMENTS, "web", template(number))


@pytest.mark.parametrize("wanted, expected", [("1", "1"), ("2", "2"), ("0", "2")])
async def test_goes_back(wanted: str, expected: str) -> None:
    async with cluster() as c:
        await rolled_out(c)
        await c.patch(DEPLOYMENTS, "web", {"metadata": {"annotations": {NOTE: wanted, "kubernetes.io/change-cause": "back"}}})
        assert version(c) == expected
        deployment = c.one(DEPLOYMENTS, "web")
        assert NOTE not in annotations_of(deployment)
        assert annotations_of(deployment)["deployment.kubernetes.io/revision"] == "4"
        assert c.events("DeploymentRollback") == [f'Rolled back deployment "web" to revision {expected}']


@pytest.mark.parametrize("wanted, reason", [("7", "DeploymentRollbackRevisionNotFound"), ("3", "DeploymentRollbackTemplateUnchanged")])
async def test_gives_up(wanted: str, reason: str) -> None:
    async with cluster() as c:
        await rolled_out(c)
        await c.patch(DEPLOYMENTS, "web", {"metadata": {"annotations": {NOTE: wanted}}})
        assert version(c) == "3" and NOTE not in annotations_of(c.one(DEPLOYMENTS, "web"))
        assert len(c.events(reason)) == 1


async def test_has_no_last_revision() -> None:
    async with cluster() as c:
        await c.create(DEPLOYMENTS, web() | {"metadata": made(DEPLOYMENTS, "web")["metadata"] | {"annotations": {NOTE: "0"}}})
        assert c.events("DeploymentRollbackRevisionNotFound") == ["Unable to find last revision."]
        assert version(c) == "1"
