"""GET and LIST: pages, selectors, revisions, and what is refused."""
from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from tests.apiserver.inprocess import InProcess, in_process
from tiffin.net.pki import Pki
from tiffin.store.mvcc import Mvcc

MAPS = "/api/v1/namespaces/default/configmaps"
ALL = "/api/v1/configmaps"


def config_map(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "data": {"name": name}}


async def fill(api: InProcess, count: int) -> list[str]:
    names = [f"n{number:03}" for number in range(count)]
    for name in names:
        await api.made(MAPS, config_map(name, parity=("even", "odd")[int(name[1:]) % 2]))
    return names


async def pages(api: InProcess, target: str, limit: int, between: Any = None) -> list[Any]:
    """All pages of a list; `between` is awaited before each but the first."""
    found, token = [], ""
    while True:
        answer = await api.get(f"{target}{'&' if '?' in target else '?'}limit={limit}" + (f"&continue={quote(token)}" if token else ""))
        assert answer.status == 200, answer.text
        found.append(answer)
        token = answer.object["metadata"].get("continue", "")
        if not token:
            return found
        if between is not None:
            await between(len(found))


async def test_pages_show_one_state_while_others_write(api: InProcess) -> None:
    names = await fill(api, 25)

    async def disturb(page: int) -> None:
        await api.delete(f"{MAPS}/n{page * 3:03}")
        await api.delete(f"{MAPS}/n{24 - page:03}")
        await api.made(MAPS, config_map(f"n{page:03}-later"))
        await api.patch(f"{MAPS}/n{20 - page:03}", {"data": {"changed": "yes"}})

    found = await pages(api, MAPS, 4, disturb)
    assert [name for page in found for name in page.names] == names
    assert all("changed" not in item["data"] for page in found for item in page.object["items"])
    assert len({page.revision for page in found}) == 1
    assert [page.object["metadata"].get("remainingItemCount", 0) for page in found] == [21, 17, 13, 9, 5, 1, 0]


async def test_pages_with_a_selector_are_full_and_count_nothing(api: InProcess) -> None:
    names = await fill(api, 25)
    found = await pages(api, f"{MAPS}?labelSelector=parity%3Dodd", 5)
    assert [len(page.names) for page in found][:2] == [5, 5]
    assert [name for page in found for name in page.names] == names[1::2]
    assert all("remainingItemCount" not in page.object["metadata"] for page in found)


async def test_pages_cross_namespaces(api: InProcess) -> None:
    for namespace in ("a", "b"):
        await api.made("/api/v1/namespaces", {"metadata": {"name": namespace}})
        await api.made(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "default"}})
        for number in range(5):
            await api.made(f"/api/v1/namespaces/{namespace}/configmaps", config_map(f"m{number}"))
    found = [(i["metadata"]["namespace"], i["metadata"]["name"]) for page in await pages(api, ALL, 3) for i in page.object["items"] if i["metadata"]["namespace"] in "ab"]
    assert found == [(namespace, f"m{number}") for namespace in "ab" for number in range(5)]


async def test_a_page_whose_state_is_forgotten_is_a_410(pki: Pki) -> None:
    async with in_process(pki, index=Mvcc(window_events=20)) as api:
        await fill(api, 6)
        first = await api.get(f"{MAPS}?limit=2")
        for _ in range(25):
            await api.patch(f"{MAPS}/n000", {"data": {"x": str(_)}})
        token = first.object["metadata"]["continue"]
        answer = await api.get(f"{MAPS}?limit=2&continue={token}")
        assert (answer.status, answer.reason) == (410, "Expired")
        assert answer.message.startswith("The provided continue parameter is too old to display a consistent list result")
        old = await api.get(f"{MAPS}?resourceVersion={first.revision}&resourceVersionMatch=Exact")
        assert (old.status, old.reason) == (410, "Expired")


async def test_a_list_at_an_exact_revision_is_the_state_of_then(api: InProcess) -> None:
    await fill(api, 3)
    then = (await api.get(MAPS)).revision
    await api.delete(f"{MAPS}/n001")
    await api.patch(f"{MAPS}/n000", {"data": {"new": "1"}})
    await api.made(MAPS, config_map("later"))
    past = await api.get(f"{MAPS}?resourceVersion={then}&resourceVersionMatch=Exact")
    assert (past.names, past.revision) == (["n000", "n001", "n002"], then)
    assert past.object["items"][0]["data"] == {"name": "n000"}
    newer = await api.get(f"{MAPS}?resourceVersion={then}&resourceVersionMatch=NotOlderThan")
    assert newer.names == ["later", "n000", "n002"]
    labelled = await api.get(f"{MAPS}?resourceVersion={then}&resourceVersionMatch=Exact&labelSelector=parity%3Dodd")
    assert labelled.names == ["n001"]


@pytest.mark.parametrize(("query", "names"), [
    ("labelSelector=parity%3Deven", ["n000", "n002"]), ("labelSelector=parity%21%3Deven", ["n001"]), ("labelSelector=parity+in+(odd,even)", ["n000", "n001", "n002"]),
    ("labelSelector=%21parity", []), ("labelSelector=parity,other", []), ("fieldSelector=metadata.name%3Dn001", ["n001"]),
    ("fieldSelector=metadata.name%21%3Dn001", ["n000", "n002"]), ("fieldSelector=metadata.namespace%3Ddefault", ["n000", "n001", "n002"]),
    ("fieldSelector=metadata.namespace%3Dother", []), ("fieldSelector=metadata.name%3Dn001&labelSelector=parity%3Deven", []),
    ("limit=-1", ["n000", "n001", "n002"]), ("limit=0", ["n000", "n001", "n002"]), ("fieldSelector=metadata.name%3Dn001&limit=1", ["n001"]), ("", ["n000", "n001", "n002"]),
])
async def test_selectors(api: InProcess, query: str, names: list[str]) -> None:
    await fill(api, 3)
    answer = await api.get(f"{MAPS}?{query}")
    assert (answer.status, answer.names) == (200, names)
    assert "continue" not in answer.object["metadata"]


@pytest.mark.parametrize(("query", "status", "reason"), [
    ("labelSelector=a+b+c", 400, "BadRequest"), ("labelSelector=%3D%3D", 400, "BadRequest"), ("fieldSelector=data.x%3D1", 400, "BadRequest"),
    ("fieldSelector=nonsense", 400, "BadRequest"), ("limit=many", 400, "BadRequest"), ("limit=1_0", 400, "BadRequest"), ("limit=%EF%BC%91", 400, "BadRequest"),
    ("limit=99999999999999999999", 400, "BadRequest"), ("timeoutSeconds=x", 400, "BadRequest"), ("resourceVersion=x", 400, "BadRequest"),
    ("resourceVersion=-1", 400, "BadRequest"), ("resourceVersion=1e3", 400, "BadRequest"), ("continue=x", 400, "BadRequest"), ("continue=%F0%9F%98%80", 400, "BadRequest"),
    ("continue=W10", 400, "BadRequest"), ("continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiYS9iIn0", 400, "BadRequest"),
    ("continue=" + "W1tb" * 5000, 400, "BadRequest"), ("resourceVersionMatch=Exact", 422, "Invalid"), ("resourceVersionMatch=Exact&resourceVersion=0", 422, "Invalid"),
    ("resourceVersionMatch=Other&resourceVersion=1", 422, "Invalid"), ("sendInitialEvents=true", 422, "Invalid"), ("resourceVersion=99999999", 504, "Timeout"),
])
async def test_what_cannot_be_listed_is_said(api: InProcess, query: str, status: int, reason: str) -> None:
    answer = await api.get(f"{MAPS}?{query}")
    assert (answer.status, answer.reason) == (status, reason), answer.text
    assert answer.object["kind"] == "Status" and answer.message


async def test_a_revision_parameter_that_is_no_number_is_a_fault_of_a_single_get(api: InProcess) -> None:
    await fill(api, 1)
    assert (await api.get(f"{MAPS}/n000?resourceVersion=x")).status == 500
    assert (await api.get(f"{MAPS}/n000?resourceVersion=99999999")).status == 504
    assert (await api.get(f"{MAPS}/n000?resourceVersion=1")).status == 200


async def test_items_of_a_list_bear_no_kind_and_single_objects_do(api: InProcess) -> None:
    await fill(api, 2)
    listed = (await api.get(MAPS)).object
    assert (listed["kind"], listed["apiVersion"]) == ("ConfigMapList", "v1")
    assert all("kind" not in item and "apiVersion" not in item for item in listed["items"])
    single = (await api.get(f"{MAPS}/n001")).object
    assert single == {"kind": "ConfigMap", "apiVersion": "v1", **listed["items"][1]}


async def test_an_object_is_sent_as_it_is_stored(api: InProcess) -> None:
    await fill(api, 1)
    entry = api.store.get("configmaps", ("default", "n000"))  # type: ignore[arg-type]
    assert entry is not None
    assert (await api.get(f"{MAPS}/n000")).body == entry.data


FORMS = {
    "table": "application/json;as=Table;v=v1;g=meta.k8s.io", "metadata": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "metadata list": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "yaml": "application/yaml"}


@pytest.mark.parametrize(("form", "single", "many"), [
    ("table", "Table", "Table"), ("metadata", "PartialObjectMetadata", 406), ("metadata list", 406, "PartialObjectMetadataList")])
async def test_other_forms(api: InProcess, form: str, single: str | int, many: str | int) -> None:
    await fill(api, 2)
    for target, expected in ((f"{MAPS}/n000", single), (MAPS, many)):
        answer = await api.get(target, accept=FORMS[form])
        assert (answer.status if isinstance(expected, int) else answer.object["kind"]) == expected


async def test_forms_that_are_not_served_are_a_406_and_the_error_is_json(api: InProcess) -> None:
    for accept in ("text/html", "application/cbor", "application/json;as=Table;v=v9;g=meta.k8s.io", "application/json;as=Nonsense;v=v1;g=meta.k8s.io"):
        answer = await api.get(MAPS, accept=accept)
        assert (answer.status, answer.reason, answer.headers["Content-Type"]) == (406, "NotAcceptable", "application/json")
    listed = await api.get(MAPS, accept="text/html, application/cbor;q=0.9, application/json;q=0.5")
    assert listed.status == 200
    assert (await api.get(MAPS, accept=FORMS["yaml"])).text.startswith("apiVersion: v1\n")


async def test_ages_are_told_in_the_table(api: InProcess) -> None:
    await fill(api, 1)
    table = (await api.get(MAPS, accept=FORMS["table"])).object
    assert [c["name"] for c in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    (row,) = table["rows"]
    assert row["cells"][:2] == ["n000", 1] and row["object"]["kind"] == "PartialObjectMetadata"
    stamp = datetime.fromisoformat(row["object"]["metadata"]["creationTimestamp"])
    assert (datetime.now(UTC) - stamp).total_seconds() < 60


async def test_delete_collection_takes_what_is_selected_and_nothing_else(api: InProcess) -> None:
    await fill(api, 6)
    await api.made("/api/v1/namespaces/kube-system/configmaps", config_map("n001", parity="odd"))
    dry = await api.delete(f"{MAPS}?labelSelector=parity%3Dodd&dryRun=All")
    assert dry.names == ["n001", "n003", "n005"]
    assert len((await api.get(MAPS)).names) == 6
    gone = await api.delete(f"{MAPS}?labelSelector=parity%3Dodd")
    assert (gone.status, gone.object["kind"], gone.names) == (200, "ConfigMapList", ["n001", "n003", "n005"])
    assert (await api.get(MAPS)).names == ["n000", "n002", "n004"]
    assert "n001" in (await api.get("/api/v1/namespaces/kube-system/configmaps")).names
    assert (await api.delete(ALL)).status == 405
