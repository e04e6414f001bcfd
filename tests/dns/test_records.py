"""Names and their records, line by line from the specification."""
from __future__ import annotations

import dns.flags
import pytest

from tests.dns.cluster import Cluster, endpoint, external, service, shown, slice

CLUSTER = (
    service("api", "10.96.1.1", ports=("http/TCP/80", "dns/UDP/53", "/TCP/8080")),
    service("dual", "10.96.1.2,fd00:1::2", ports=("web/TCP/80",)),
    service("other", "10.96.1.3", namespace="kube-system"),
    service("web", "None", ports=("http/TCP/80",)),
    slice("web-1", endpoint("10.244.0.5", "web-0"), endpoint("10.244.0.6"), endpoint("10.244.0.7", "web-2", ready=False), service="web", ports=("http/TCP/8080",)),
    slice("web-2", endpoint("10.244.1.5", "web-3", ready=None), service="web", ports=("http/TCP/8080",)),
    slice("web-6", endpoint("2001:db8::1"), service="web", ports=("http/TCP/8080",)),
    slice("api-1", endpoint("10.244.0.9"), service="api", headless=False, ports=("http/TCP/80",)),
    service("empty", "None"),
    slice("empty-1", endpoint("10.244.0.8", ready=False), service="empty"),
    service("eager", "None", publishNotReadyAddresses=True),
    slice("eager-1", endpoint("10.244.0.8", "early", ready=False), service="eager"),
    service("manual", "None"),
    slice("manual-1", endpoint("192.0.2.7"), endpoint("not an address"), service="manual", headless=False),
    service("pending", ""),
    external("inside", "api.default.svc.cluster.local"),
    external("twice", "inside.default.svc.CLUSTER.local."),
    external("nowhere", "gone.default.svc.cluster.local"),
    external("me", "me.default.svc.cluster.local"),
)

NXDOMAIN: tuple[str, list[str]] = ("NXDOMAIN", [])
NODATA: tuple[str, list[str]] = ("NOERROR", [])


def ok(*records: str) -> tuple[str, list[str]]:
    return "NOERROR", list(records)


QUESTIONS = [
    ("dns-version.cluster.local", "TXT", ok('TXT "1.1.0"')),
    ("dns-version.cluster.local", "A", NODATA),
    # a Service with a cluster IP
    ("api.default.svc.cluster.local", "A", ok("A 10.96.1.1")),
    ("API.Default.SVC.cluster.LOCAL", "A", ok("A 10.96.1.1")),
    ("api.default.svc.cluster.local", "AAAA", NODATA),
    ("api.default.svc.cluster.local", "TXT", NODATA),
    ("api.default.svc.cluster.local", "TYPE65", NODATA),
    ("api.kube-system.svc.cluster.local", "A", NXDOMAIN),
    ("other.kube-system.svc.cluster.local", "A", ok("A 10.96.1.3")),
    ("dual.default.svc.cluster.local", "A", ok("A 10.96.1.2")),
    ("dual.default.svc.cluster.local", "AAAA", ok("AAAA fd00:1::2")),
    ("pending.default.svc.cluster.local", "A", NODATA),
    ("_http._tcp.api.default.svc.cluster.local", "SRV", ok("SRV 0 100 80 api.default.svc.cluster.local.")),
    ("_HTTP._TCP.api.default.svc.cluster.local", "SRV", ok("SRV 0 100 80 api.default.svc.cluster.local.")),
    ("_dns._udp.api.default.svc.cluster.local", "SRV", ok("SRV 0 100 53 api.default.svc.cluster.local.")),
    ("_http._udp.api.default.svc.cluster.local", "SRV", NXDOMAIN),
    ("_http._tcp.api.default.svc.cluster.local", "A", NODATA),
    ("_._tcp.api.default.svc.cluster.local", "SRV", NXDOMAIN),
    ("http._tcp.api.default.svc.cluster.local", "SRV", NXDOMAIN),
    ("_tcp.api.default.svc.cluster.local", "SRV", NODATA),
    ("_sctp.api.default.svc.cluster.local", "SRV", NXDOMAIN),
    ("10-244-0-9.api.default.svc.cluster.local", "A", ok("A 10.244.0.9")),
    ("a.b.c.api.default.svc.cluster.local", "A", NXDOMAIN),
    # a headless one
    ("web.default.svc.cluster.local", "A", ok("A 10.244.0.5", "A 10.244.0.6", "A 10.244.1.5")),
    ("web.default.svc.cluster.local", "AAAA", ok("AAAA 2001:db8::1")),
    ("web-0.web.default.svc.cluster.local", "A", ok("A 10.244.0.5")),
    ("WEB-0.web.default.svc.cluster.local", "A", ok("A 10.244.0.5")),
    ("web-0.web.default.svc.cluster.local", "AAAA", NODATA),
    ("web-2.web.default.svc.cluster.local", "A", NXDOMAIN),
    ("web-3.web.default.svc.cluster.local", "A", ok("A 10.244.1.5")),
    ("10-244-0-6.web.default.svc.cluster.local", "A", ok("A 10.244.0.6")),
    ("10-244-0-5.web.default.svc.cluster.local", "A", NXDOMAIN),
    ("2001-db8--1.web.default.svc.cluster.local", "AAAA", ok("AAAA 2001:db8::1")),
    ("_http._tcp.web.default.svc.cluster.local", "SRV", ok(
        "SRV 0 25 8080 web-0.web.default.svc.cluster.local.", "SRV 0 25 8080 10-244-0-6.web.default.svc.cluster.local.",
        "SRV 0 25 8080 web-3.web.default.svc.cluster.local.", "SRV 0 25 8080 2001-db8--1.web.default.svc.cluster.local.",
    )),
    ("_http._tcp.web-0.web.default.svc.cluster.local", "SRV", NXDOMAIN),
    ("_tcp.web.default.svc.cluster.local", "A", NODATA),
    ("empty.default.svc.cluster.local", "A", NXDOMAIN),
    ("eager.default.svc.cluster.local", "A", ok("A 10.244.0.8")),
    ("early.eager.default.svc.cluster.local", "A", ok("A 10.244.0.8")),
    ("manual.default.svc.cluster.local", "A", ok("A 192.0.2.7")),
    ("manual.default.svc.cluster.local", "SRV", NODATA),
    # external names
    ("inside.default.svc.cluster.local", "CNAME", ok("CNAME api.default.svc.cluster.local.")),
    ("inside.default.svc.cluster.local", "A", ok("CNAME api.default.svc.cluster.local.", "A 10.96.1.1")),
    ("inside.default.svc.cluster.local", "AAAA", ok("CNAME api.default.svc.cluster.local.")),
    ("x.inside.default.svc.cluster.local", "A", NXDOMAIN),
    ("twice.default.svc.cluster.local", "A", ok(
        "CNAME inside.default.svc.cluster.local.", "CNAME api.default.svc.cluster.local.", "A 10.96.1.1")),
    ("nowhere.default.svc.cluster.local", "A", ("NXDOMAIN", ["CNAME gone.default.svc.cluster.local."])),
    # pods
    ("10-244-3-4.default.pod.cluster.local", "A", ok("A 10.244.3.4")),
    ("10-244-3-4.default.pod.cluster.local", "AAAA", NODATA),
    ("10-244-3-4.nope.pod.cluster.local", "A", NXDOMAIN),
    ("10-244-3.default.pod.cluster.local", "A", NXDOMAIN),
    ("10-244-3-256.default.pod.cluster.local", "A", NXDOMAIN),
    ("2001-db8--7.default.pod.cluster.local", "AAAA", ok("AAAA 2001:db8::7")),
    ("--1.default.pod.cluster.local", "AAAA", ok("AAAA ::1")),
    ("x.10-244-3-4.default.pod.cluster.local", "A", NXDOMAIN),
    # names between
    ("cluster.local", "A", NODATA),
    ("cluster.local", "NS", ok("NS ns.dns.cluster.local.")),
    ("cluster.local", "SOA", ok("SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5")),
    ("ns.dns.cluster.local", "A", ok("A 10.96.0.10")),
    ("dns.cluster.local", "A", NODATA),
    ("svc.cluster.local", "A", NODATA),
    ("pod.cluster.local", "A", NODATA),
    ("default.svc.cluster.local", "A", NODATA),
    ("default.pod.cluster.local", "A", NODATA),
    ("nope.svc.cluster.local", "A", NXDOMAIN),
    ("nope.pod.cluster.local", "A", NXDOMAIN),
    ("nope.cluster.local", "A", NXDOMAIN),
    ("www.example.com.default.svc.cluster.local", "A", NXDOMAIN),
    ("www.example.com.cluster.local", "A", NXDOMAIN),
    # no wildcards
    ("*.default.svc.cluster.local", "A", NXDOMAIN),
    ("api.*.svc.cluster.local", "A", NXDOMAIN),
    ("*.web.default.svc.cluster.local", "A", NXDOMAIN),
    ("any.any.svc.cluster.local", "A", NXDOMAIN),
    # dots within a label are not labels
    (r"api\.default.svc.cluster.local", "A", NXDOMAIN),
    # addresses
    ("1.1.96.10.in-addr.arpa", "PTR", ok("PTR api.default.svc.cluster.local.")),
    ("1.1.96.10.IN-ADDR.ARPA", "PTR", ok("PTR api.default.svc.cluster.local.")),
    ("1.1.96.10.in-addr.arpa", "A", NODATA),
    ("9.9.96.10.in-addr.arpa", "PTR", NXDOMAIN),
    ("5.0.244.10.in-addr.arpa", "PTR", ok("PTR web-0.web.default.svc.cluster.local.")),
    ("6.0.244.10.in-addr.arpa", "PTR", ok("PTR 10-244-0-6.web.default.svc.cluster.local.")),
    ("7.0.244.10.in-addr.arpa", "PTR", NXDOMAIN),
    ("8.0.244.10.in-addr.arpa", "PTR", ok("PTR early.eager.default.svc.cluster.local.")),
    ("9.0.244.10.in-addr.arpa", "PTR", NXDOMAIN),
    ("2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa", "PTR", ok("PTR dual.default.svc.cluster.local.")),
]


@pytest.mark.parametrize(("name", "type", "expected"), QUESTIONS, ids=[f"{name} {type}" for name, type, _ in QUESTIONS])
def test_answers(name: str, type: str, expected: tuple[str, list[str]]) -> None:
    found = Cluster(*CLUSTER).ask(name, type)
    code, records = shown(found)
    assert (code, sorted(records)) == (expected[0], sorted(expected[1]))
    assert found.flags & dns.flags.AA and found.flags & dns.flags.RA
    assert all(rrset.ttl == 5 for section in found.sections[1:] for rrset in section)
    negative = not any(record.split()[0] != "CNAME" for record in records) and type != "CNAME"
    assert [rrset.to_text() for rrset in found.authority] == (
        ["cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5"] if negative else [])


@pytest.mark.parametrize(("name", "type", "glue"), [
    ("_http._tcp.api.default.svc.cluster.local", "SRV", ["api.default.svc.cluster.local. 5 IN A 10.96.1.1"]),
    ("_web._tcp.dual.default.svc.cluster.local", "SRV", ["dual.default.svc.cluster.local. 5 IN A 10.96.1.2", "dual.default.svc.cluster.local. 5 IN AAAA fd00:1::2"]),
    ("_http._tcp.web.default.svc.cluster.local", "SRV", [
        "web-0.web.default.svc.cluster.local. 5 IN A 10.244.0.5", "10-244-0-6.web.default.svc.cluster.local. 5 IN A 10.244.0.6",
        "web-3.web.default.svc.cluster.local. 5 IN A 10.244.1.5", "2001-db8--1.web.default.svc.cluster.local. 5 IN AAAA 2001:db8::1"]),
    ("cluster.local", "NS", ["ns.dns.cluster.local. 5 IN A 10.96.0.10"]),
])
def test_additional_addresses(name: str, type: str, glue: list[str]) -> None:
    assert [rrset.to_text() for rrset in Cluster(*CLUSTER).ask(name, type, payload=1232).additional] == glue


def test_the_services_own_name_has_all_its_ports() -> None:
    assert shown(Cluster(*CLUSTER).ask("api.default.svc.cluster.local", "SRV"))[1] == [
        "SRV 0 33 80 api.default.svc.cluster.local.", "SRV 0 33 53 api.default.svc.cluster.local.", "SRV 0 33 8080 api.default.svc.cluster.local."]


def test_an_alias_of_itself_ends() -> None:
    assert Cluster(*CLUSTER).ask("me.default.svc.cluster.local").rcode() == dns.rcode.SERVFAIL


def test_every_address_of_a_hostname() -> None:
    cluster = Cluster(service("s", "None"), slice("a", endpoint("10.244.0.1", "h"), service="s"), slice("b", endpoint("10.244.0.2", "h"), service="s"))
    assert sorted(shown(cluster.ask("h.s.default.svc.cluster.local"))[1]) == ["A 10.244.0.1", "A 10.244.0.2"]


def test_an_address_in_two_slices_is_told_once() -> None:
    cluster = Cluster(service("s", "None"), slice("a", endpoint("10.244.0.1"), service="s"), slice("b", endpoint("10.244.0.1"), service="s"))
    assert shown(cluster.ask("s.default.svc.cluster.local"))[1] == ["A 10.244.0.1"]


@pytest.mark.parametrize("name", ["api.default.svc.cluster.local", "nope.default.svc.cluster.local", "1.1.96.10.in-addr.arpa", "cluster.local"])
def test_nothing_is_said_before_everything_is_known(name: str) -> None:
    found = Cluster(service("api", "10.96.1.1"), synced=False).ask(name)
    assert found.rcode() == dns.rcode.SERVFAIL and not found.authority


@pytest.mark.parametrize("name", [
    "www.example.com", "local", ".", "xcluster.local", "cluster.local.example.com", "8.8.8.8.in-addr.arpa", "96.10.in-addr.arpa", "in-addr.arpa",
    "1.1.1.96.10.in-addr.arpa", "01.1.96.10.in-addr.arpa", "256.1.96.10.in-addr.arpa", "x.ip6.arpa", r"a\007cluster.local",
])
def test_what_is_asked_elsewhere(name: str) -> None:
    import dns.message

    assert not isinstance(Cluster(*CLUSTER).packet(dns.message.make_query(name, "PTR").to_wire()), bytes)


def test_an_alias_that_leads_away() -> None:
    import dns.message

    cluster = Cluster(external("away", "Www.Example.com"))
    found = cluster.packet(dns.message.make_query("away.default.svc.cluster.local", "A").to_wire())
    assert not isinstance(found, bytes) and found.found and found.found.elsewhere == b"\3www\7example\3com\0"
    assert shown(cluster.ask("away.default.svc.cluster.local", "CNAME")) == ("NOERROR", ["CNAME www.example.com."])
