"""Paths that are no resources: health, version, metrics, token issuer discovery, and the index of paths."""
from __future__ import annotations

import platform
from collections.abc import Callable

from tiffin.net.http import Response

GIT_VERSION = "v1.36.2+tiffin"
CHECKS = ("ping", "log", "poststarthook/start-apiextensions-controllers", "poststarthook/rbac/bootstrap-roles")
ROOT_PATHS = (
    "/.well-known/openid-configuration", "/api", "/api/v1", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3",
    "/openid/v1/jwks", "/readyz", "/version")


def text(body: str, status: int = 200) -> Response:
    return Response(status, {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}, body.encode())


PAGE_NOT_FOUND = "404 page not found\n"


def version() -> dict[str, str]:
    """The answer of /version."""
    return {
        "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36", "minCompatibilityMajor": "1", "minCompatibilityMinor": "35",
        "gitVersion": GIT_VERSION, "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}", "compiler": platform.python_implementation().lower(),
        "platform": f"{platform.system().lower()}/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(platform.machine(), platform.machine())}"}


def health(path: str, verbose: bool, excluded: list[str], ready: Callable[[], bool]) -> Response:
    """/healthz, /livez, /readyz and their single checks."""
    endpoint, _, check = path.lstrip("/").partition("/")
    if check or path.endswith("/"):
        return text("ok") if check in CHECKS else text(PAGE_NOT_FOUND, 404)
    failing = endpoint == "readyz" and not ready()
    names = [name for name in CHECKS if name not in excluded]
    if not verbose and not failing:
        return text("ok")
    lines = [f"[+]{name} ok\n" for name in names]
    if failing:
        lines.append("[-]startup failed: reason withheld\n")
    return text("".join(lines) + f"{endpoint} check {'failed' if failing else 'passed'}\n", 500 if failing else 200)
