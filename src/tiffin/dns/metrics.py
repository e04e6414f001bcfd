"""What the name server counts, in Prometheus' text format. Label values come from fixed sets, whatever is asked."""
from __future__ import annotations

from tiffin.dns.wire import Rcode, Type

Counter = list[int]
"""One number, which whoever counts often keeps at hand."""

_TYPES = {Type.A, Type.AAAA, Type.CNAME, Type.NS, Type.PTR, Type.SOA, Type.SRV, Type.TXT, Type.ANY}
_CODES = {int(code): code.name for code in Rcode}


class Metrics:
    """Counters of one node's server."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, str, str], Counter] = {}
        self.dropped: dict[str, int] = dict.fromkeys(("source", "ignored", "send", "overload"), 0)
        self.cache: dict[str, int] = dict.fromkeys(("hit", "miss"), 0)
        self.upstream: dict[str, int] = dict.fromkeys(("answered", "failed", "timeout"), 0)
        self.upstream_seconds = 0.0

    def counted(self, stream: bool, type: int, code: int, *, cluster: bool) -> Counter:
        """The counter of such requests, with this one added."""
        labels = ("tcp" if stream else "udp", Type(type).name if type in _TYPES else "other", _CODES.get(code, "other"), "cluster" if cluster else "other")
        counter = self._requests.setdefault(labels, [0])
        counter[0] += 1
        return counter

    def text(self) -> str:
        lines = ["# HELP tiffin_dns_requests_total Answered questions.", "# TYPE tiffin_dns_requests_total counter"]
        for (protocol, type, code, zone), (count,) in sorted(self._requests.items()):
            lines.append(f'tiffin_dns_requests_total{{proto="{protocol}",type="{type}",rcode="{code}",zone="{zone}"}} {count}')
        lines += _family("tiffin_dns_dropped_total", "Packets not answered, and questions refused for being too many.", "reason", self.dropped)
        lines += _family("tiffin_dns_cache_total", "Questions for others' names, by whether the answer was at hand.", "result", self.cache)
        lines += _family("tiffin_dns_upstream_total", "Questions sent to other name servers.", "result", self.upstream)
        lines += [
            "# HELP tiffin_dns_upstream_seconds_total Time that answered questions to other name servers took.",
            "# TYPE tiffin_dns_upstream_seconds_total counter", f"tiffin_dns_upstream_seconds_total {self.upstream_seconds:.6f}",
        ]
        return "\n".join(lines) + "\n"


def _family(name: str, help: str, label: str, values: dict[str, int]) -> list[str]:
    samples = [f'{name}{{{label}="{value}"}} {count}' for value, count in values.items()]
    return [f"# HELP {name} {help}", f"# TYPE {name} counter", *samples]
