from __future__ import annotations

from typing import Any

import pytest

from tiffin.api.apiextensions.conditions import is_true, settled_status

NOW = "2026-01-01T00:00:00Z"


def definition(name: str, group: str = "e.com", accepted: bool = False, annotations: dict[str, str] | None = None, **names: Any) -> dict[str, Any]:
    names = {"plural": name, "singular": name, "kind": name.title(), "listKind": f"{name.title()}List"} | names
    made: dict[str, Any] = {"metadata": {"name": f"{name}.{group}", "annotations": annotations or {}}, "spec": {
        "group": group, "names": names, "versions": [{"name": "v1", "storage": True}]}}
    if accepted:
        made["status"] = {"acceptedNames": names}
    return made


def conditions(status: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    return [(c["type"], c["status"], c["reason"], c["message"]) for c in status["conditions"]]


def test_free_names_are_accepted() -> None:
    status = settled_status(definition("a"), [definition("b", accepted=True)], NOW)
    assert conditions(status) == [
        ("NamesAccepted", "True", "NoConflicts", "no conflicts found"), ("Established", "True", "InitialNamesAccepted", "the initial names have been accepted")]
    assert status["acceptedNames"] == {"plural": "a", "singular": "a", "kind": "A", "listKind": "AList"}
    assert status["storedVersions"] == ["v1"]


@pytest.mark.parametrize(("names", "reason", "told"), [
    ({"singular": "other"}, "SingularConflict", '"other" is already in use'), ({"shortNames": ["o", "x"]}, "ShortNamesConflict", '"o" is already in use'),
    ({"kind": "Other"}, "KindConflict", '"Other" is already in use'), ({"listKind": "OtherList"}, "ListKindConflict", '"OtherList" is already in use'),
    ({"singular": "o", "kind": "OtherList"}, "KindConflict", '"OtherList" is already in use')])
def test_names_of_others_are_not(names: dict[str, Any], reason: str, told: str) -> None:
    other = definition("other", accepted=True, shortNames=["o"])
    status = settled_status(definition("a", **names), [other], NOW)
    assert conditions(status) == [("NamesAccepted", "False", reason, told), ("Established", "False", "NotAccepted", "not all names are accepted")]
    assert status["acceptedNames"]["plural"] == "a"
    assert is_true({"status": settled_status(definition("a", **names), [definition("other", "f.com", True, shortNames=["o"])], NOW)}, "Established")


def test_what_is_established_stays() -> None:
    crd = definition("a", accepted=True)
    crd["status"] |= settled_status(crd, [], NOW)
    crd["spec"]["names"] = crd["spec"]["names"] | {"shortNames": ["o"]}
    status = settled_status(crd, [definition("other", accepted=True, shortNames=["o"])], "2026-02-02T00:00:00Z")
    assert [(c["type"], c["status"]) for c in status["conditions"]] == [("NamesAccepted", "False"), ("Established", "True")]
    assert "shortNames" not in status["acceptedNames"]


@pytest.mark.parametrize(("given", "status", "reason", "told"), [
    ("unapproved, experimental", "False", "UnapprovedAnnotation", 'not approved: "unapproved, experimental"'),
    ("https://x.example/1", "True", "ApprovedAnnotation", "approved in https://x.example/1")])
def test_approval(given: str, status: str, reason: str, told: str) -> None:
    crd = definition("a", "x.k8s.io", annotations={"api-approved.kubernetes.io": given})
    assert conditions(settled_status(crd, [], NOW))[-1] == ("KubernetesAPIApprovalPolicyConformant", status, reason, told)
