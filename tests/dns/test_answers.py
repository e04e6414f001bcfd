"""Answers kept in bytes: the same to everybody, dropped when they cease to be true, another address first each time, cut where there is no room."""
from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import pytest

from tests.dns.cluster import Cluster, endpoint, external, namespace, service, shown, slice

WEB = service("web", "None", ports=("http/TCP/80",))


def many(count: int, hostname: str = "") -> list[dict]:
    return [WEB, slice("web-1", *(endpoint(f"10.244.{n // 200}.{n % 200}", hostname and f"{hostname}-{n}") for n in range(count)), service="web", ports=("http/TCP/80",))]


def addresses(cluster: Cluster) -> list[str]:
    return shown(cluster.ask("web.default.svc.cluster.local"))[1]


@pytest.mark.parametrize(("before", "change", "name", "after"), [
    ([], service("new", "10.96.0.9"), "new.default.svc.cluster.local", "A 10.96.0.9"),
    ([service("api", "10.96.0.8")], service("api", "10.96.0.9"), "api.default.svc.cluster.local", "A 10.96.0.9"),
    ([service("api", "10.96.0.8")], external("api", "db.default.svc.cluster.local"), "api.default.svc.cluster.local", "CNAME db.default.svc.cluster.local."),
    ([WEB, slice("web-1", service="web")], slice("web-1", endpoint("10.244.0.1"), service="web"), "web.default.svc.cluster.local", "A 10.244.0.1"),
    ([WEB, slice("web-1", endpoint("10.244.0.1", "h"), service="web")], slice("web-1", endpoint("10.244.0.2", "h"), service="web"),
     "h.web.default.svc.cluster.local", "A 10.244.0.2"),
    ([external("alias", "new.default.svc.cluster.local")], service("new", "10.96.0.9"), "alias.default.svc.cluster.local", "A 10.96.0.9"),
    ([], namespace("blue"), "1-2-3-4.blue.pod.cluster.local", "A 1.2.3.4"),
])
def test_changes_are_seen_at_once(before: list, change: dict, name: str, after: str) -> None:
    cluster = Cluster(*before)
    assert after not in shown(cluster.ask(name))[1]
    cluster.put(change)
    assert after in shown(cluster.ask(name))[1]


def test_removals_are_seen_at_once() -> None:
    api, blue = service("api", "10.96.0.8"), namespace("blue")
    cluster = Cluster(api, blue, service("other", "10.96.0.7"))
    for name, gone in (("api.default.svc.cluster.local", api), ("1-2-3-4.blue.pod.cluster.local", blue)):
        assert shown(cluster.ask(name))[0] == "NOERROR"
        cluster.remove(gone)
        assert shown(cluster.ask(name))[0] == "NXDOMAIN"


def test_one_service_changes_and_the_others_answers_stay() -> None:
    cluster = Cluster(service("a", "10.96.0.1"), service("b", "10.96.0.2"))
    queries = {name: dns.message.make_query(f"{name}.default.svc.cluster.local", "A").to_wire() for name in "ab"}
    for query in queries.values():
        cluster.packet(query)
    cluster.put(service("a", "10.96.0.3"))
    assert cluster.answers.kept(queries["a"]) is None
    assert cluster.answers.kept(queries["b"]) is not None


def test_upper_and_lower_case_come_back_as_they_were() -> None:
    cluster = Cluster(service("api", "10.96.0.8"))
    for name in (b"\3aPi\7DEFAULT\3svc\7cluster\5LOCAL\0", b"\3API\7default\3SVC\7Cluster\5local\0", b"\3api\7default\3svc\7cluster\5local\0"):
        question = b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + name + b"\0\1\0\1"
        answer = cluster.packet(question)
        assert isinstance(answer, bytes) and answer[12:12 + len(name)] == name
        assert dns.message.from_wire(answer).answer[0][0].to_text() == "10.96.0.8"
    assert len(cluster.answers._kept[0]) == 1


def test_a_zero_within_a_label_is_not_the_names_end() -> None:
    cluster = Cluster()
    name = b"\3a\0b\7default\3svc\7cluster\5local\0"
    question = b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + name + b"\0\1\0\1"
    for _ in range(2):
        answer = cluster.packet(question)
        assert isinstance(answer, bytes) and answer[12:12 + len(name)] == name and answer[3] & 0xF == 3


def test_questions_with_cookies_are_answered_and_forgotten() -> None:
    cluster = Cluster(service("api", "10.96.0.8"))
    query = dns.message.make_query("api.default.svc.cluster.local", "A")
    query.use_edns(0, 0, 1232, options=[dns.edns.GenericOption(10, b"01234567")])
    answer = cluster.packet(query.to_wire())
    assert isinstance(answer, bytes) and shown(dns.message.from_wire(answer)) == ("NOERROR", ["A 10.96.0.8"])
    assert not any(cluster.answers._kept)


def test_each_address_has_its_turn() -> None:
    cluster = Cluster(*many(3))
    firsts = [addresses(cluster)[0] for _ in range(6)]
    assert set(firsts) == {"A 10.244.0.0", "A 10.244.0.1", "A 10.244.0.2"} and firsts[:3] == firsts[3:]


@pytest.mark.parametrize(("payload", "room"), [(None, 512), (512, 512), (800, 800), (1232, 1232), (60000, 1232)])
def test_what_fits_is_sent_and_the_rest_is_for_tcp(payload: int | None, room: int) -> None:
    cluster = Cluster(*many(300))
    cut = cluster.ask("web.default.svc.cluster.local", payload=payload)
    sent = shown(cut)[1]
    assert cut.flags & dns.flags.TC
    assert len(sent) == (room - (47 + (11 if payload else 0))) // 16
    assert (cut.payload == 1232) if payload else cut.edns < 0
    whole = cluster.ask("web.default.svc.cluster.local", payload=payload, stream=True)
    assert not whole.flags & dns.flags.TC and len(shown(whole)[1]) == 300 and set(sent) < set(shown(whole)[1])


def test_all_addresses_have_their_turn_among_those_that_fit() -> None:
    cluster = Cluster(*many(60))
    assert len({address for _ in range(60) for address in addresses(cluster)}) == 60


def test_additional_records_are_left_out_first() -> None:
    cluster = Cluster(*many(8, "host"))
    short = cluster.ask("_http._tcp.web.default.svc.cluster.local", "SRV")
    assert len(shown(short)[1]) == 8 and not short.flags & dns.flags.TC and len(short.additional) < 8
    assert len(cluster.ask("_http._tcp.web.default.svc.cluster.local", "SRV", stream=True).additional) == 8
    cut = Cluster(*many(40, "host")).ask("_http._tcp.web.default.svc.cluster.local", "SRV")
    assert 0 < len(shown(cut)[1]) < 40 and cut.flags & dns.flags.TC and not cut.additional


def test_more_than_a_message_holds() -> None:
    endpoints = [service("web", "None")]
    endpoints += [slice(f"web-{n}", *(endpoint(f"10.{n}.{i // 250}.{i % 250}") for i in range(1000)), service="web") for n in range(5)]
    found = Cluster(*endpoints).ask("web.default.svc.cluster.local", stream=True)
    assert found.flags & dns.flags.TC and len(shown(found)[1]) == (65535 - 47) // 16


def test_edns() -> None:
    cluster = Cluster(service("api", "10.96.0.8"))
    found = cluster.ask("api.default.svc.cluster.local", payload=4096, want_dnssec=True)
    assert found.edns == 0 and found.payload == 1232 and found.ednsflags & dns.flags.DO
    assert cluster.ask("api.default.svc.cluster.local").edns < 0


def test_flags_come_back() -> None:
    cluster = Cluster(service("api", "10.96.0.8"))
    for flags in (0, dns.flags.RD, dns.flags.RD | dns.flags.CD, dns.flags.AD):
        found = cluster.ask("api.default.svc.cluster.local", flags=flags)
        assert found.flags == dns.flags.QR | dns.flags.AA | dns.flags.RA | flags & (dns.flags.RD | dns.flags.CD)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiffin.dns.answers.MAX_BYTES", 20_000)
    cluster = Cluster()
    for n in range(100):
        cluster.ask(f"x{n}.default.svc.cluster.local", stream=n % 3 == 0)
        assert sum(map(len, cluster.answers._kept)) == sum(map(len, cluster.answers._of_service.values())) <= 28
    for n in range(100):
        cluster.put(service(f"x{n}", "10.96.0.1"))
    assert cluster.answers._size == 0 and not any(cluster.answers._kept)
