"""What every namespace and account is given: default account, root certificate, tokens, aggregated roles."""
from __future__ import annotations

from base64 import b64decode

from tests.controllers.cluster import Cluster, made
from tiffin.controllers import clusterroleaggregation, rootca, serviceaccount, serviceaccounttoken
from tiffin.controllers.config import Config
from tiffin.controllers.resources import CLUSTER_ROLES, CONFIG_MAPS, NAMESPACES, SECRETS, SERVICE_ACCOUNTS
from tiffin.machinery.object import Object, uid_of

CONFIG = Config(root_ca="PEM", sign_token=lambda account, secret: f"token of {account['metadata']['name']}")
TOKEN = {"metadata": {"annotations": {serviceaccounttoken.ACCOUNT: "sa"}}, "type": serviceaccounttoken.TYPE}


async def test_default_account_and_certificate_come_and_come_back() -> None:
    async with Cluster(serviceaccount, rootca, config=CONFIG) as c:
        await c.create(NAMESPACES, made(NAMESPACES, "ns", namespace=""))
        assert c.names(SERVICE_ACCOUNTS) == ["default"] and c.one(CONFIG_MAPS, "kube-root-ca.crt", "ns")["data"] == {"ca.crt": "PEM"}
        await c.delete(SERVICE_ACCOUNTS, "default", "ns")
        await c.delete(CONFIG_MAPS, "kube-root-ca.crt", "ns")
        assert c.names(SERVICE_ACCOUNTS) == ["default"] and c.names(CONFIG_MAPS) == ["kube-root-ca.crt"]
        await c.patch(CONFIG_MAPS, "kube-root-ca.crt", {"data": {"ca.crt": "spoiled", "more": "x"}, "metadata": {"annotations": {"mine": "1"}}}, "ns")
        mended = c.one(CONFIG_MAPS, "kube-root-ca.crt", "ns")
        assert mended["data"] == {"ca.crt": "PEM"} and mended["metadata"]["annotations"] == {"mine": "1", **rootca.DESCRIPTION}


async def test_token_secrets() -> None:
    async with Cluster(serviceaccounttoken, config=CONFIG) as c:
        account = await c.create(SERVICE_ACCOUNTS, made(SERVICE_ACCOUNTS, "sa"))
        await c.create(SECRETS, made(SECRETS, "t", **{**TOKEN, "metadata": dict(TOKEN["metadata"])}))
        secret = c.one(SECRETS, "t")
        assert {name: b64decode(value).decode() for name, value in secret["data"].items()} == {"ca.crt": "PEM", "namespace": "default", "token": "token of sa"}
        assert secret["metadata"]["annotations"][serviceaccounttoken.ACCOUNT_UID] == uid_of(account)
        nobody = {"annotations": {serviceaccounttoken.ACCOUNT: "nobody"}}
        await c.create(SECRETS, made(SECRETS, "v", type=serviceaccounttoken.TYPE, metadata=nobody))
        await c.create(SECRETS, made(SECRETS, "opaque"))
        assert c.names(SECRETS) == ["opaque", "t"]
        await c.delete(SERVICE_ACCOUNTS, "sa")
        assert c.names(SECRETS) == ["opaque"]


def role(name: str, labels: dict[str, str], *resources: str) -> Object:
    rules = [{"apiGroups": [""], "resources": list(resources), "verbs": ["get"]}]
    return made(CLUSTER_ROLES, name, namespace="", rules=rules, metadata={"labels": labels})


async def test_cluster_roles_are_put_together() -> None:
    async with Cluster(clusterroleaggregation) as c:
        rule = {"clusterRoleSelectors": [{"matchLabels": {"part": "yes"}}]}
        await c.create(CLUSTER_ROLES, made(CLUSTER_ROLES, "all", namespace="", aggregationRule=rule, rules=[{"verbs": ["lost"]}]))
        await c.create(CLUSTER_ROLES, role("b", {"part": "yes"}, "secrets"))
        await c.create(CLUSTER_ROLES, role("a", {"part": "yes"}, "pods"))

        def granted() -> list[str]:
            return [r for rule in c.one(CLUSTER_ROLES, "all", namespace="")["rules"] for r in rule["resources"]]

        assert granted() == ["pods", "secrets"]
        await c.patch(CLUSTER_ROLES, "all", {"rules": []}, namespace="")
        assert granted() == ["pods", "secrets"]
        await c.patch(CLUSTER_ROLES, "b", {"metadata": {"labels": None}}, namespace="")
        assert granted() == ["pods"]
