"""What the patch types have in common: the error that says why a patch cannot be applied, and how the API answers it."""
from __future__ import annotations

from enum import Enum


class Fault(Enum):
    """Whose fault it is, which decides the answer."""

    MALFORMED = 400
    """The patch is no patch: BadRequest with the message."""
    INAPPLICABLE = 422
    """It does not fit the object: Invalid, with empty details and a message that says nothing."""
    TOO_LARGE = 413
    """It asks for too much."""
    INTERNAL = 500
    """Kubernetes reports these as faults of the server, without a reason, with the message."""


class PatchError(ValueError):
    """A patch that cannot be applied."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


REJECTED = "the server rejected our request due to an error in our request"
"""The message of an answer to `Fault.INAPPLICABLE`."""
