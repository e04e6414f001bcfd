"""Names of images and credentials for their registries."""
from __future__ import annotations

import base64

import orjson
import pytest

from tiffin.kubelet import registry

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(("image", "expected"), [
    ("nginx", "nginx:latest"), ("nginx:1", "nginx:1"), ("a/b", "a/b:latest"), ("reg.example:5000/a/b", "reg.example:5000/a/b:latest"), (f"nginx@{DIGEST}", f"nginx@{DIGEST}"),
    ("localhost/x:1", "localhost/x:1"),
])
def test_tags(image: str, expected: str) -> None:
    assert registry.with_tag(image) == expected


@pytest.mark.parametrize(("image", "complaint"), [("UPPER", "repository name must be lowercase"), ("a b", "invalid reference format"), ("", "invalid reference format"), ("a:", "invalid reference format"), ("-a", "invalid reference format")])
def test_no_names(image: str, complaint: str) -> None:
    with pytest.raises(registry.ImageNameError) as caught:
        registry.with_tag(image)
    assert str(caught.value) == f'couldn\'t parse image name "{image}": {complaint}'


@pytest.mark.parametrize(("image", "expected"), [
    ("nginx", ("docker.io", "nginx")), ("kiamol/ch02:1", ("docker.io", "kiamol/ch02")), ("reg.example/a/b:1", ("reg.example", "a/b")), ("localhost/x", ("localhost", "x")), ("host:5000/x@sha256:1", ("host:5000", "x")),
])
def test_registries(image: str, expected: tuple[str, str]) -> None:
    assert registry.registry_and_path(image) == expected


def secret(auths: object) -> dict[str, object]:
    return {"data": {".dockerconfigjson": base64.b64encode(orjson.dumps({"auths": auths})).decode()}}


def test_the_most_specific_credentials_come_first() -> None:
    found = registry.credentials("reg.example/team/app:1", [
        secret({"reg.example": {"auth": base64.b64encode(b"all:1").decode()}, "other.example": {"username": "no"}}),
        secret({"https://reg.example/team": {"username": "team", "password": "2"}, "*.example": {"username": "any", "password": "3"}, "reg.example/teammates": {"username": "no"}}),
        {"data": {".dockerconfigjson": "bm90IGpzb24="}},
    ])
    assert [f["username"] for f in found] == ["team", "all", "any"]
    assert registry.credentials("nginx", [secret({"https://index.docker.io/v1/": {"username": "hub"}})])[0]["username"] == "hub"
