"""docs/security.md names tests: each of them is there."""
from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "security.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and "`" in line and ".py`" in line]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:42])
def test_the_tests_of_an_attack_exist(row: str) -> None:
    """A name that ends in an ellipsis stands for all that begin so; it belongs to the file before it."""
    text = ""
    for path, name in re.findall(r"`([\w/]+\.py)`|`(test_\w+…?)`", row):
        if path:
            text = (TESTS / path).read_text()
        elif name.endswith("…"):
            assert f"def {name[:-1]}" in text, name
        else:
            assert f"def {name}(" in text, name


def test_every_known_attack_has_its_row() -> None:
    assert {int(number) for number in re.findall(r"^\| (\d+)\. ", PAGE, re.MULTILINE)} == set(range(1, 28))
