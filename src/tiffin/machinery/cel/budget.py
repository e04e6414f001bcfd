"""How much an evaluation may cost at run time.

Costs are Kubernetes' units: about one for a name, a selection or a call, a tenth for each character looked at. One call may spend
`PER_CALL`; a request's expressions share a `Budget`, from which each call's cost is taken. When it is overdrawn, the caller runs no
further expressions. Source: k8s.io/apiserver/pkg/apis/cel limits.
"""
from __future__ import annotations

PER_CALL = 1_000_000
PER_REQUEST = 10_000_000
MATCH_CONDITIONS = 2_500_000


class Budget:
    """What is left, in cost units; negative once overdrawn."""

    __slots__ = ("remaining",)

    def __init__(self, remaining: int = PER_REQUEST) -> None:
        self.remaining = remaining

    @property
    def exhausted(self) -> bool:
        return self.remaining < 0
