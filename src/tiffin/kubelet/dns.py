"""resolv.conf and /etc/hosts of pods. Source: Kubernetes' description of dnsPolicy, dnsConfig and hostAliases."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tiffin.kubelet.proto import cri_pb2 as cri
from tiffin.kubelet.state import uses_host_network
from tiffin.machinery.object import Object, dig, name_of, namespace_of

MAX_SERVERS, MAX_SEARCHES, MAX_SEARCH_CHARACTERS = 3, 32, 2048
HOSTNAME_LENGTH = 63
HEADER = "# Kubernetes-managed hosts file.\n"
HEADER_OF_NODE = "# Kubernetes-managed hosts file (host network).\n"


@dataclass(frozen=True, slots=True)
class Resolver:
    """The content of a resolv.conf."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def parse_resolv_conf(text: str) -> Resolver:
    """What a resolv.conf says; the last `search` line counts, options add up."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        match words[:1]:
            case ["nameserver"] if len(words) > 1:
                servers.append(words[1])
            case ["search"]:
                searches = [w.rstrip(".") or "." for w in words[1:]]
            case ["options"]:
                options += words[1:]
    return Resolver(tuple(servers), tuple(searches), tuple(options))


def resolver(pod: Object, host: Resolver, cluster_dns: Sequence[str], domain: str) -> cri.DNSConfig:
    """The pod's resolv.conf by its policy, completed by its dnsConfig and cut to the limits."""
    policy = dig(pod, "spec", "dnsPolicy", default="ClusterFirst")
    cluster = policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not uses_host_network(pod))
    if policy == "None":
        base = Resolver()
    elif cluster and cluster_dns:
        own = (f"{namespace_of(pod)}.svc.{domain}", f"svc.{domain}", domain)
        base = Resolver(tuple(cluster_dns), own + host.searches, ("ndots:5",))
    else:
        base = host
    extra = dig(pod, "spec", "dnsConfig", default={})
    servers = tuple(dict.fromkeys([*base.servers, *(extra.get("nameservers") or ())]))[:MAX_SERVERS]
    searches = _bounded(dict.fromkeys([*base.searches, *(extra.get("searches") or ())]))
    return cri.DNSConfig(servers=servers, searches=searches, options=_options(base.options, extra.get("options") or ()))


def _bounded(searches: Sequence[str] | dict[str, None]) -> Sequence[str]:
    kept: list[str] = []
    for search in list(searches)[:MAX_SEARCHES]:
        if len(" ".join([*kept, search])) > MAX_SEARCH_CHARACTERS:
            break
        kept.append(search)
    return kept


def _options(base: Sequence[str], extra: Sequence[Object]) -> Sequence[str]:
    """Options by name; the pod's own win."""
    merged = {option.partition(":")[0]: option for option in base}
    merged |= {o["name"]: f"{o['name']}:{o['value']}" if o.get("value") else o["name"] for o in extra}
    return list(merged.values())


def hostname(pod: Object, domain: str) -> tuple[str, str]:
    """The pod's host name and its domain ("" without subdomain)."""
    name = (dig(pod, "spec", "hostname") or name_of(pod))[:HOSTNAME_LENGTH].rstrip("-.")
    subdomain = dig(pod, "spec", "subdomain")
    return name, f"{subdomain}.{namespace_of(pod)}.svc.{domain}" if subdomain else ""


def shown_hostname(pod: Object, domain: str) -> str:
    """What `hostname` prints in the pod. Source: KEP-1797 for setHostnameAsFQDN."""
    override = dig(pod, "spec", "hostnameOverride")
    if override:
        return override
    name, own = hostname(pod, domain)
    return f"{name}.{own}" if own and dig(pod, "spec", "setHostnameAsFQDN") else name


def hosts_file(pod: Object, ips: Sequence[str], domain: str, of_node: str = "") -> str:
    """/etc/hosts of the pod's containers; pods on the node's network get the node's own file, `of_node`, with their aliases."""
    aliases = "".join(f"{a['ip']}\t{chr(9).join(a.get('hostnames') or ())}\n" for a in dig(pod, "spec", "hostAliases", default=[]))
    if aliases:
        aliases = f"\n# Entries added by HostAliases.\n{aliases}"
    if uses_host_network(pod):
        return HEADER_OF_NODE + of_node + aliases
    lines = [
        "127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback", "fe00::0\tip6-localnet", "fe00::0\tip6-mcastprefix",
        "fe00::1\tip6-allnodes", "fe00::2\tip6-allrouters",
    ]
    name, own = hostname(pod, domain)
    if override := dig(pod, "spec", "hostnameOverride"):
        name, own = override, ""
    lines += [f"{ip}\t{name}.{own}\t{name}" if own else f"{ip}\t{name}" for ip in ips]
    return HEADER + "\n".join(lines) + "\n" + aliases
