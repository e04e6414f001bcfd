"""Which UDP flows are stale."""
from __future__ import annotations

import pytest

from tiffin.proxy.conntrack import Flow, is_stale
from tiffin.proxy.endpoints import Target
from tiffin.proxy.plan import FrontKey

VIP, GOOD, GONE, NODE = Target("10.96.0.20", 53), Target("10.244.1.2", 5353), Target("10.244.1.3", 5353), Target("10.199.0.2", 30053)
WANTED = {FrontKey("ip", "10.96.0.20", "UDP", 53): frozenset({GOOD}), FrontKey("ip", "", "UDP", 30053): frozenset({GOOD})}


@pytest.mark.parametrize(
    "sent_to, answered_by, stale",
    [
        (VIP, GOOD, False),
        (VIP, GONE, True),
        (VIP, VIP, True),  # it went nowhere, as there was no endpoint
        (VIP._replace(port=54), GONE, False),
        (NODE, GOOD, False),
        (NODE, GONE, True),
        (NODE, NODE, False),  # to the node itself, or to somebody else's port of that number
        (Target("8.8.8.8", 53), Target("8.8.8.8", 53), False),
    ],
)
def test_stale(sent_to: Target, answered_by: Target, stale: bool) -> None:
    assert is_stale(Flow(sent_to, answered_by, b""), "ip", WANTED) is stale
