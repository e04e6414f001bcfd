"""Calls to webhooks, over real TLS."""
from __future__ import annotations

import asyncio
import base64

import pytest

from tests.apiserver.hook_server import Hook, as_json, hook_server
from tiffin.apiserver.servicedial import Endpoint
from tiffin.apiserver.webhooks.client import MOST_BYTES, InvalidClientConfig, WebhookClient, WebhookError, shown_url, status_words
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object
from tiffin.net.http import Response
from tiffin.net.pki import Pki


def nowhere(namespace: str, name: str, port: int) -> Endpoint:
    raise ApiError(404, "NotFound", f'service "{name}" not found')


def to(hook: Hook) -> WebhookClient:
    """A client that finds every service at the hook."""
    return WebhookClient(lambda namespace, name, port: Endpoint("127.0.0.1", hook.port))


async def refused(client: WebhookClient, config: Object, timeout: int = 5) -> str:
    with pytest.raises(WebhookError) as caught:
        await client.post(config, {"a": 1}, timeout)
    return str(caught.value)


async def test_a_url_gets_the_json_and_its_answer_comes_back(pki: Pki) -> None:
    async with hook_server(pki, lambda body: as_json({"echo": body})) as hook:
        client = WebhookClient(nowhere)
        assert await client.post(hook.url("/check"), {"a": 1}, 5) == {"echo": {"a": 1}}
        assert hook.targets == ["/check?timeout=5s"]
        client.close()


async def test_a_service_is_dialled_at_an_endpoint_and_must_bear_its_name(pki: Pki) -> None:
    async with hook_server(pki, lambda body: as_json({})) as hook:
        service = {"namespace": "default", "name": "hook", "path": "/p", "port": 443}
        client = to(hook)
        await client.post({"service": service, "caBundle": hook.ca_bundle}, {}, 5)
        assert hook.targets == ["/p?timeout=5s"]
        other = {"service": service | {"name": "other"}, "caBundle": hook.ca_bundle}
        assert (await refused(client, other)).startswith('Post "https://other.default.svc:443/p?timeout=5s": tls: failed to verify certificate: ')
        client.close()


async def test_connections_are_kept_and_a_dead_one_is_replaced(pki: Pki) -> None:
    async with hook_server(pki, lambda body: as_json({})) as hook:
        client = WebhookClient(nowhere)
        for _ in range(3):
            await client.post(hook.url(), {}, 5)
        (connection,) = hook.server.connections
        connection.abort()
        await client.post(hook.url(), {}, 5)
        assert len(hook.seen) == 4
        client.close()


async def test_a_service_that_is_not_there() -> None:
    config = {"service": {"namespace": "ns", "name": "none", "path": "/p", "port": 443}}
    assert await refused(WebhookClient(nowhere), config, 1) == 'Post "https://none.ns.svc:443/p?timeout=1s": service "none" not found'


async def test_nobody_listens() -> None:
    message = await refused(WebhookClient(nowhere), {"url": "https://127.0.0.1:1/check"}, 10)
    assert message == 'Post "https://127.0.0.1:1/check?timeout=10s": dial tcp 127.0.0.1:1: connect: connection refused'


async def test_an_authority_that_is_not_believed(pki: Pki) -> None:
    async with hook_server(pki) as hook:
        url = hook.url()["url"]
        assert "tls: failed to verify certificate: " in await refused(WebhookClient(nowhere), {"url": url})


@pytest.mark.parametrize("bundle", ["%%%", base64.b64encode(b"no pem").decode()])
async def test_a_bundle_that_holds_no_certificate(bundle: str) -> None:
    with pytest.raises(InvalidClientConfig, match="unable to load root certificates"):
        await WebhookClient(nowhere).post({"url": "https://127.0.0.1:1/", "caBundle": bundle}, {}, 1)


async def test_the_time_is_bounded(pki: Pki) -> None:
    async def never(body: Object) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with hook_server(pki, never) as hook:
        client = WebhookClient(nowhere)
        assert (await refused(client, hook.url(), 1)).endswith('?timeout=1s": context deadline exceeded')
        client.close()


async def test_attack_4_nothing_of_a_foreign_answer_gets_into_an_error(pki: Pki) -> None:
    secret = "the content of an internal service"
    answers = [Response(status, {"Content-Type": "text/plain"}, secret.encode()) for status in (200, 400, 403, 404, 418, 500, 503)]
    async with hook_server(pki, lambda body: answers.pop()) as hook:
        client = WebhookClient(nowhere)
        while answers:
            assert secret not in await refused(client, hook.url())
        client.close()


async def test_attack_4_redirects_are_not_followed(pki: Pki) -> None:
    async with hook_server(pki) as hook:
        for status in (301, 302, 307, 308):
            hook.answer = lambda body, status=status: Response(status, {"Location": f"https://127.0.0.1:{hook.port}/internal"})  # type: ignore[misc]
            client = WebhookClient(nowhere)
            assert await refused(client, hook.url()) == status_words(status)
            client.close()
        assert set(hook.targets) == {"/?timeout=5s"} and len(hook.targets) == 4


async def test_an_endless_answer_is_cut_off(pki: Pki) -> None:
    async with hook_server(pki, lambda body: Response(200, {}, b"[" + b" " * MOST_BYTES + b"]")) as hook:
        client = WebhookClient(nowhere)
        assert f"larger than {MOST_BYTES} bytes" in await refused(client, hook.url())
        client.close()


@pytest.mark.parametrize(("config", "url"), [
    ({"url": "https://h/p"}, "https://h/p?timeout=3s"),
    ({"service": {"namespace": "n", "name": "s"}}, "https://s.n.svc:443/?timeout=3s"),
    ({"service": {"namespace": "n", "name": "s", "path": "a/b", "port": 8443}}, "https://s.n.svc:8443/a/b?timeout=3s"),
])
def test_the_url_as_errors_show_it(config: Object, url: str) -> None:
    assert shown_url(config, 3) == url
