"""The command line: stable, quick to answer, clear about what it cannot do."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tiffin import cli


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["nonsense"], ["up", "--nodes", "-1"], ["up", "--nodes", "x"], ["up", "--store", "floppy"], ["up", "--wait", "soon"],
        ["image"], ["image", "load"], ["image", "rm"], ["agent"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert "usage: tiffin" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["up", "down", "status", "kubeconfig", "token", "logs", "doctor", "image load", "image list", "image rm", "image pull"])
def test_every_command_takes_a_name(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([*command.split(), "--help"])
    assert end.value.code == 0
    assert "--name" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["status", "kubeconfig", "token", "logs", "image list"])
def test_a_cluster_that_is_not_there(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*command.split(), "--name", "none", "--data-dir", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err == "tiffin: there is no cluster none; make it with: tiffin up --name none\n"


def test_a_bad_name_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--name", "../etc"]) == 1
    assert "'../etc' is no cluster name" in capsys.readouterr().err


def test_help_imports_next_to_nothing() -> None:
    script = "import sys\nfrom tiffin import cli\ntry: cli.main(['--help'])\nexcept SystemExit: print('\\n'.join(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "argparse" in modules
    assert not {"asyncio", "ssl", "grpc", "numpy", "rich", "yaml", "cryptography", "pyroute2", "orjson"} & set(modules)
