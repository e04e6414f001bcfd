"""Attempts to send other people's traffic elsewhere: endpoints at forbidden addresses, external IPs, load-balancer statuses."""
from __future__ import annotations

from typing import Any

import pytest

from tests.apiserver.inprocess import NOBODY, InProcess

ENDPOINTS, SERVICES = "/api/v1/namespaces/default/endpoints", "/api/v1/namespaces/default/services"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"

UNSPECIFIED, LOOPBACK = "may not be unspecified (0.0.0.0 or ::)", "may not be in the loopback range (127.0.0.0/8, ::1/128)"
LINK, GROUP = "may not be in the link-local range (169.254.0.0/16, fe80::/10)", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
SPELLINGS = [
    ("0.0.0.0", UNSPECIFIED), ("::", UNSPECIFIED), ("::ffff:0.0.0.0", UNSPECIFIED), ("0:0:0:0:0:0:0:0", UNSPECIFIED), ("000.0.0.0", UNSPECIFIED),
    ("127.0.0.1", LOOPBACK), ("127.255.3.4", LOOPBACK), ("::1", LOOPBACK), ("0:0::0:1", LOOPBACK), ("::ffff:127.0.0.1", LOOPBACK),
    ("::ffff:7f00:1", LOOPBACK), ("::FFFF:127.0.0.1", LOOPBACK), ("0127.0.0.1", LOOPBACK), ("127.00.000.01", LOOPBACK), ("::ffff:0127.0.0.1", LOOPBACK),
    ("169.254.169.254", LINK), ("::ffff:169.254.169.254", LINK), ("::ffff:a9fe:a9fe", LINK), ("fe80::1", LINK), ("FE80:0::1", LINK), ("febf::1", LINK),
    ("224.0.0.1", GROUP), ("::ffff:224.0.0.1", GROUP), ("ff02::1", GROUP), ("239.1.2.3", "multicast"), ("ff05::2", "multicast")]
ODD_SPELLINGS = ("must not be an IPv4-mapped IPv6 address", "must not have leading 0s")
"""What some of these are refused for before anybody asks where they lead."""
NO_ADDRESS = ["127.1", "2130706433", "0x7f.0.0.1", "017700000001", "fe80::1%eth0", " 127.0.0.1", "127.0.0.1/8", "[::1]", "localhost", "127.0.0.1\n", "１２７.0.0.1"]


def endpoints(address: str) -> dict[str, Any]:
    return {"metadata": {"name": "e"}, "subsets": [{"addresses": [{"ip": "10.1.1.1"}, {"ip": address}], "ports": [{"port": 80}]}]}


def endpoint_slice(address: str) -> dict[str, Any]:
    family = "IPv6" if ":" in address and not address.lower().startswith("::ffff:") else "IPv4"
    return {"metadata": {"name": "e"}, "addressType": family, "endpoints": [{"addresses": [address]}]}


@pytest.mark.parametrize(("address", "words"), SPELLINGS)
async def test_endpoints_at_forbidden_addresses(api: InProcess, address: str, words: str) -> None:
    for path, body in ((ENDPOINTS, endpoints(address)), (SLICES, endpoint_slice(address))):
        refused = await api.post(path, body)
        assert refused.status == 422 and any(text in refused.message for text in (words, *ODD_SPELLINGS)), refused.text
    not_ready = {"metadata": {"name": "e"}, "subsets": [{"notReadyAddresses": [{"ip": address}]}]}
    assert (await api.post(ENDPOINTS, not_ready)).status == 422


@pytest.mark.parametrize("address", NO_ADDRESS)
async def test_endpoints_that_are_no_addresses(api: InProcess, address: str) -> None:
    for path, body in ((ENDPOINTS, endpoints(address)), (SLICES, endpoint_slice(address))):
        refused = await api.post(path, body)
        assert refused.status == 422 and "must be a valid IP address" in refused.message, refused.text


async def test_nor_by_a_later_change(api: InProcess) -> None:
    await api.made(ENDPOINTS, endpoints("10.1.1.2"))
    await api.made(SLICES, endpoint_slice("10.1.1.2"))
    assert (await api.patch(f"{ENDPOINTS}/e", endpoints("::ffff:127.0.0.1"))).status == 422
    assert (await api.patch(f"{SLICES}/e", {"endpoints": [{"addresses": ["127.0.0.1"]}]})).status == 422


async def test_external_ips_are_refused_unless_allowed(api: InProcess) -> None:
    body = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "externalIPs": ["192.0.2.7"]}}
    refused = await api.post(SERVICES, body)
    assert refused.status == 403 and "Use of external IPs is denied by admission control" in refused.message
    await api.made(SERVICES, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
    assert (await api.patch(f"{SERVICES}/s", {"spec": {"externalIPs": ["192.0.2.7"]}})).status == 403


async def test_only_its_own_right_writes_a_load_balancers_status(api: InProcess) -> None:
    await api.made(SERVICES, {"metadata": {"name": "s"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}})
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}}
    await api.patch(f"{SERVICES}/s", status)
    assert (await api.get(f"{SERVICES}/s")).object["status"] == {"loadBalancer": {}}
    rules = [{"apiGroups": [""], "resources": ["services"], "verbs": ["*"]}]
    await api.made("/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles", {"metadata": {"name": "r"}, "rules": rules})
    binding = {"metadata": {"name": "r"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
               "subjects": [{"kind": "User", "name": "nobody", "apiGroup": "rbac.authorization.k8s.io"}]}
    await api.made("/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings", binding)
    assert (await api.patch(f"{SERVICES}/s", {"metadata": {"labels": {"by": "nobody"}}}, token=NOBODY)).status == 200
    assert (await api.patch(f"{SERVICES}/s/status", status, token=NOBODY)).status == 403
    assert (await api.patch(f"{SERVICES}/s/status", status)).status == 200
