"""Which records a name of the cluster has: a pure function from a question and what is known of the cluster to an answer.

Names under the cluster's domain, here cluster.local:

    SERVICE.NAMESPACE.svc                    A, AAAA: the cluster IPs, or the ready endpoints of a headless Service; CNAME: an external name
    _PORT._PROTOCOL.SERVICE.NAMESPACE.svc    SRV of a named port
    HOSTNAME.SERVICE.NAMESPACE.svc           A, AAAA of one endpoint
    A-B-C-D.NAMESPACE.pod                    A of that address; the namespace must exist, the pod is not looked for
    dns-version                              TXT

and PTR for cluster IPs and endpoints of headless Services. SRV at the Service's own name gives all its ports, as CoreDNS does.

Rules:
* A name that exists without records of the asked type, or only as the parent of others, has an empty answer (NODATA); any other name
  does not exist (NXDOMAIN). A headless Service without ready endpoints does not exist, as the specification wants it.
* There are no wildcards.
* Before the caches are full nothing is said to not exist: SERVFAIL.

Source: Kubernetes DNS-Based Service Discovery, schema 1.1.0; RFC 2308, RFC 8020; CoreDNS where these are silent.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network

from tiffin.dns import reverse
from tiffin.dns.wire import Answer, Rcode, Record, Type, address_record, encode_name, labels_of, soa_record, srv_record, txt_record
from tiffin.dns.zone import Address, Endpoint, Port, Zone, cluster_addresses, is_headless, parsed, service_ports
from tiffin.machinery.object import Object, dig, name_of, namespace_of

TTL = 5
"""Seconds, of every record and of every negative answer, as CoreDNS has it: asking again is cheap here, and what is told stays true."""
SCHEMA_VERSION = "1.1.0"
WEIGHT = 100
MAX_ALIASES = 8
"""External names that are names of the cluster again, one after the other."""
_REFRESH, _RETRY, _EXPIRE = 7200, 1800, 86400

_ARPA = b"\x04arpa\0"


@dataclass(frozen=True, slots=True)
class Found:
    """An answer of the cluster's."""

    answer: Answer
    service: tuple[str, str] | None = None
    """Namespace and name of the Service that, besides namespaces, alone decides it, if one does."""
    lasting: bool = True
    """Whether it stays true until that Service or a namespace changes."""
    elsewhere: bytes = b""
    """A name outside the cluster at which an alias goes on."""


class Records:
    """The names of one cluster. `domain` is without a final dot; the addresses of `ranges`, in CIDR notation, are named here or nowhere."""

    def __init__(self, domain: str, addresses: Sequence[str], ranges: Sequence[str], zone: Zone) -> None:
        self._domain = encode_name(domain)
        self._labels = [label.decode() for label in labels_of(self._domain)]
        self._zone = zone
        self._server, self._mailbox = encode_name(f"ns.dns.{domain}"), encode_name(f"hostmaster.{domain}")
        self._addresses = [address for text in addresses if (address := parsed(text)) is not None]
        self._networks = [ip_network(text) for text in ranges]

    def find(self, name: bytes, type: int) -> Found | None:
        """`name` in lower case. None when the name is not the cluster's."""
        labels = [label.decode("latin-1") for label in labels_of(name)]
        inside = len(labels) - len(self._labels)
        if inside >= 0 and labels[inside:] == self._labels:
            found: Found | None = self._in_domain(name, type, labels[:inside], 0)
        elif name.endswith(_ARPA) and (address := reverse.address_of(labels)) is not None:
            found = self._reverse(name, type, address)
        else:
            return None
        return found if self._zone.synced or found is None else Found(Answer(Rcode.SERVFAIL, authoritative=False), lasting=False)

    def _in_domain(self, name: bytes, type: int, path: Sequence[str], aliases: int) -> Found:
        """`path` are the labels below the domain."""
        match path:
            case []:
                return Found(self._apex(name, type))
            case ["dns-version"]:
                return Found(self._of_type(type, [txt_record(name, TTL, SCHEMA_VERSION)]))
            case ["dns"] | ["svc"] | ["pod"]:
                return Found(self._nothing())
            case ["ns", "dns"]:
                return Found(self._of_type(type, self._at(name, self._addresses)))
            case [namespace, "svc" | "pod"]:
                return Found(self._nothing() if self._zone.namespace(namespace) else self._unknown())
            case [pod, namespace, "pod"]:
                return Found(self._pod(name, type, pod, namespace))
            case [*inner, service, namespace, "svc"]:
                return self._service(name, type, inner, (namespace, service), aliases)
        return Found(self._unknown())

    def _apex(self, name: bytes, type: int) -> Answer:
        if type == Type.NS:
            return Answer(answers=[Record(name, Type.NS, TTL, self._server)], additional=self._at(self._server, self._addresses))
        return self._of_type(type, [self._soa()])

    def _pod(self, name: bytes, type: int, pod: str, namespace: str) -> Answer:
        address = _undashed(pod)
        if address is None or not self._zone.namespace(namespace):
            return self._unknown()
        return self._of_type(type, self._at(name, [address]))

    def _service(self, name: bytes, type: int, inner: Sequence[str], key: tuple[str, str], aliases: int) -> Found:
        service = self._zone.service(*key)
        if service is None:
            return Found(self._unknown(), key)
        if dig(service, "spec", "type") == "ExternalName":
            return self._alias(name, type, dig(service, "spec", "externalName", default=""), key, aliases) if not inner else Found(self._unknown(), key)
        endpoints = list(self._zone.endpoints(service)) if inner or is_headless(service) else []
        if is_headless(service) and not endpoints:
            return Found(self._unknown(), key)
        own = encode_name(f"{key[1]}.{key[0]}.svc")[:-1] + self._domain
        match inner:
            case []:
                return Found(self._whole(own, type, service, endpoints), key)
            case [protocol] if protocol in ("_tcp", "_udp", "_sctp") and any(p.name and p.protocol == protocol[1:] for p in _ports(service, endpoints)):
                return Found(self._nothing(), key)
            case [hostname]:
                at = [endpoint.address for endpoint in endpoints if endpoint.hostname.lower() == hostname]
                return Found(self._of_type(type, self._at(name, at)) if at else self._unknown(), key)
            case [port, protocol] if port[:1] == protocol[:1] == "_" and len(port) > 1:
                wanted = (port[1:], protocol[1:])
                return Found(self._ports(name, type, own, service, endpoints, lambda p: (p.name.lower(), p.protocol) == wanted), key)
        return Found(self._unknown(), key)

    def _whole(self, own: bytes, type: int, service: Object, endpoints: Sequence[Endpoint]) -> Answer:
        """The Service's own name."""
        if type == Type.SRV:
            found = self._ports(own, type, own, service, endpoints, lambda port: True)
            return found if found.answers else self._nothing()
        addresses = (endpoint.address for endpoint in endpoints) if is_headless(service) else cluster_addresses(service)
        return self._of_type(type, self._at(own, addresses))

    def _ports(
        self, name: bytes, type: int, own: bytes, service: Object, endpoints: Sequence[Endpoint], wanted: Callable[[Port], bool]
    ) -> Answer:
        """Where to reach the Service's ports that are `wanted`: at its own address, or at each endpoint of a headless one."""
        if is_headless(service):
            places = [(p.number, encode_name(e.hostname)[:-1] + own, e.address) for e in endpoints for p in e.ports if wanted(p)]
        else:
            places = [(p.number, own, address) for p in service_ports(service) if wanted(p) for address in cluster_addresses(service)]
        if not places:
            return self._unknown()
        targets = dict.fromkeys((port, target) for port, target, _ in places)
        weight = max(WEIGHT // len(targets), 1)
        records = [srv_record(name, TTL, weight, port, target) for port, target in targets]
        glue = dict.fromkeys((target, address) for _, target, address in places)
        if type != Type.SRV:
            return self._nothing()
        return Answer(answers=records, additional=[address_record(target, TTL, address) for target, address in glue])

    def _alias(self, name: bytes, type: int, target: str, key: tuple[str, str], aliases: int) -> Found:
        """A CNAME and what is at its end. A chain that is too long, or bites its tail, ends in SERVFAIL."""
        try:
            end = encode_name(target)
        except ValueError:
            return Found(Answer(Rcode.SERVFAIL), key)
        record = Record(name, Type.CNAME, TTL, end)
        if type == Type.CNAME:
            return Found(Answer(answers=[record]), key)
        labels = [label.decode("latin-1") for label in labels_of(end)]
        inside = len(labels) - len(self._labels)
        if inside < 0 or labels[inside:] != self._labels:
            return Found(Answer(answers=[record]), lasting=False, elsewhere=end)
        if aliases >= MAX_ALIASES:
            return Found(Answer(Rcode.SERVFAIL), lasting=False)
        rest = self._in_domain(end, type, labels[:inside], aliases + 1)
        return Found(replace(rest.answer, answers=[record, *rest.answer.answers]), lasting=False, elsewhere=rest.elsewhere)

    def _reverse(self, name: bytes, type: int, address: Address) -> Found | None:
        """PTR of an address. None when the address has no name here and is not the cluster's."""
        names = [f"{name_of(s)}.{namespace_of(s)}.svc" for s in self._zone.services_at(address)]
        if not names:
            found = list(self._zone.endpoints_at(address))
            own = [pair for pair in found if pair[1].named] or found
            names = [f"{endpoint.hostname}.{name_of(s)}.{namespace_of(s)}.svc" for s, endpoint in own]
        if names:
            targets = dict.fromkeys(encode_name(text)[:-1] + self._domain for text in names)
            return Found(self._of_type(type, [Record(name, Type.PTR, TTL, target) for target in targets]), lasting=False)
        return Found(self._unknown(), lasting=False) if any(address in network for network in self._networks) else None

    def _at(self, name: bytes, addresses: Iterable[Address]) -> list[Record]:
        return [address_record(name, TTL, address) for address in dict.fromkeys(addresses)]

    def _of_type(self, type: int, records: Sequence[Record]) -> Answer:
        """Those of the name's records that were asked for."""
        chosen = [record for record in records if record.type == type]
        return Answer(answers=chosen) if chosen else self._nothing()

    def _nothing(self) -> Answer:
        return Answer(authority=[self._soa()])

    def _unknown(self) -> Answer:
        return Answer(Rcode.NXDOMAIN, authority=[self._soa()])

    def _soa(self) -> Record:
        return soa_record(self._domain, TTL, self._server, self._mailbox, (1, _REFRESH, _RETRY, _EXPIRE, TTL))


def _ports(service: Object, endpoints: Sequence[Endpoint]) -> Iterable[Port]:
    if is_headless(service):
        return (port for endpoint in endpoints for port in endpoint.ports)
    return service_ports(service)


def _undashed(label: str) -> Address | None:
    """The address that a pod's name is made of: 10-1-2-3, or 2001-db8--1."""
    return parsed(label.replace("-", "." if label.count("-") == 3 and "--" not in label else ":"))
