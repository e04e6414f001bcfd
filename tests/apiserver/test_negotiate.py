"""Accept headers, by table."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.apiserver.negotiate import PLAIN, SUPPORTED, negotiate, parse_accept
from tiffin.machinery.errors import ApiError

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(("accept", "media_type", "kind"), [
    ("", "application/json", ""), ("*/*", "application/json", ""), ("application/json", "application/json", ""), ("APPLICATION/JSON", "application/json", ""),
    ("application/yaml", "application/yaml", ""), (f"{TABLE},application/json", "application/json", "Table"), (f"application/json;q=0.1, {TABLE}", "application/json", "Table"),
    (f"{TABLE};q=0.1, application/json", "application/json", ""), ("application/json;as=Table;v=v2;g=meta.k8s.io, application/json", "application/json", ""),
    ("text/html, application/xhtml+xml, */*;q=0.8", "application/json", ""), ("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "application/json", "PartialObjectMetadata"),
    ("application/json;as=Table;v=v1;g=other, application/yaml", "application/yaml", ""), ("application/json;charset=utf-8", "application/json", "")])
def test_the_best_that_is_served(accept: str, media_type: str, kind: str) -> None:
    form = negotiate(accept)
    assert (form.media_type, form.kind) == (media_type, kind)


@pytest.mark.parametrize("accept", ["text/html", "application/json;as=Table;v=v2;g=meta.k8s.io", "application/json;as=Nonsense;v=v1;g=meta.k8s.io", "image/*", ";", "q=1"])
def test_what_is_not_served(accept: str) -> None:
    with pytest.raises(ApiError) as caught:
        negotiate(accept)
    assert caught.value.code == 406


def test_plain_is_plain() -> None:
    assert negotiate("application/json") is PLAIN and negotiate("") is PLAIN


@given(st.text(max_size=60))
def test_any_header_is_read_or_refused(accept: str) -> None:
    clauses = parse_accept(accept)
    assert [c.quality for c in clauses] == sorted((c.quality for c in clauses), reverse=True)
    try:
        assert negotiate(accept).media_type.partition(";")[0] in (*SUPPORTED, "application/vnd.kubernetes.protobuf")
    except ApiError as error:
        assert error.code == 406
