"""Certificate requests that nobody needs any more: an hour after they were decided, a day after nobody decided, or once what was
issued has expired. Source: Kubernetes documentation "Certificates and Certificate Signing Requests"."""
from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import datetime, timedelta

from tiffin.controllers import certificates as c
from tiffin.controllers.config import Config
from tiffin.controllers.pods import created
from tiffin.controllers.resources import CERTIFICATE_REQUESTS
from tiffin.machinery.object import Key, Object, dig, uid_of
from tiffin.machinery.timestamps import parse_time
from tiffin.runtime.controller import Changes, Controller, Delete, View, Watch

DECIDED, PENDING = timedelta(hours=1), timedelta(hours=24)


def reconcile(config: Config, key: Key, view: View, now: datetime) -> Changes:
    csr = view.get(CERTIFICATE_REQUESTS, *key)
    end = min(_ends(config, csr), default=None) if csr else None
    if csr is None or end is None:
        return Changes()
    if now < end:
        return Changes(requeue_after=end - now)
    return Changes((Delete(CERTIFICATE_REQUESTS, *key, uid=uid_of(csr)),))


def _ends(config: Config, csr: Object) -> Iterator[datetime]:
    """The moments from which on it may go."""
    decisions = c.conditions(csr)
    for condition in decisions.values():
        if condition["type"] in (c.APPROVED, c.DENIED, c.FAILED) and condition.get("lastUpdateTime"):
            yield parse_time(condition["lastUpdateTime"]) + DECIDED
    if c.is_open(csr):
        yield created(csr) + PENDING
    if pem := dig(csr, "status", "certificate"):
        yield config.certificate_end(base64.b64decode(pem))


def controller(config: Config) -> Controller:
    watches = (Watch(CERTIFICATE_REQUESTS),)
    return Controller("certificate-controller", watches, lambda key, view, now: reconcile(config, key, view, now), c.RULES, workers=1, component="csrcleaner")
