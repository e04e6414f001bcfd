from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.apiserver.inprocess import InProcess, in_process, make_pki
from tiffin.net.pki import Pki


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Certificates are slow to make and never change: one set for all."""
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def api(pki: Pki) -> AsyncIterator[InProcess]:
    """A fresh API server over a memory store."""
    async with in_process(pki) as running:
        yield running
