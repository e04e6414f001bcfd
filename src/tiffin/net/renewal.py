"""Certificates that change under a running process: files renewed before their end, and TLS contexts that take the new ones up.

A context in use is given the new pair: connections that are open stay as they are, new ones show the new certificate.
"""
from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tiffin.net.pki import Pki, PkiError

log = logging.getLogger(__name__)

LOOK_SECONDS, RENEW_SECONDS = 600.0, 6 * 3600.0
"""How often files are looked at for a change, and how often their ends."""

Sleep = Callable[[float], Awaitable[None]]


async def keep_renewed(pki: Pki, sleep: Sleep) -> None:
    """Renews the certificates of a cluster before they end, until cancelled."""
    while True:
        try:
            for name in pki.renew(datetime.now(UTC)):
                log.info("certificate %s was renewed", name)
        except (PkiError, OSError) as error:
            log.warning("certificates cannot be renewed: %s", error)
        await sleep(RENEW_SECONDS)


async def keep_loaded(context: ssl.SSLContext, pairs: Sequence[tuple[Path, Path]], sleep: Sleep) -> None:
    """Gives the context a pair of certificate and key again whenever its files have changed, until cancelled."""
    seen = [_version(*pair) for pair in pairs]
    while True:
        await sleep(LOOK_SECONDS)
        for index, pair in enumerate(pairs):
            now = _version(*pair)
            if now == seen[index]:
                continue
            try:
                context.load_cert_chain(*pair)
            except (ssl.SSLError, OSError) as error:
                log.warning("%s cannot be taken up yet: %s", pair[0], error)  # one of the two files is still the old one
            else:
                seen[index] = now
                log.info("%s was taken up", pair[0].name)


def _version(*files: Path) -> tuple[int, ...]:
    """Changes with the files; a file that is missing for a moment counts as another version."""
    return tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in files)
