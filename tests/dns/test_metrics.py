"""Attack 10 at the name server: whatever is asked, the labels are of a fixed set."""
from __future__ import annotations

import re

from tiffin.dns.metrics import Metrics


def test_attack_10_odd_questions_make_no_labels_of_their_own() -> None:
    metrics = Metrics()
    for type in range(0, 65536, 97):
        for code in range(0, 4096, 511):
            metrics.counted(bool(type % 2), type, code, cluster=bool(code % 2))
    labels = set(re.findall(r'proto="(\w+)",type="(\w+)",rcode="(\w+)",zone="(\w+)"', metrics.text()))
    assert labels and len(labels) <= 2 * 10 * 20 * 2
    assert {type for _, type, _, _ in labels} <= {"A", "AAAA", "CNAME", "NS", "PTR", "SOA", "SRV", "TXT", "ANY", "other"}
    assert all(not re.search(r"\d", code) for _, _, code, _ in labels)
