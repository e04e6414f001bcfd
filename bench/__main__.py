"""`python -m bench [NAME…]`: runs the benchmarks, prints a table and writes the figures as JSON to bench/results/."""
from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import uvloop

from bench.figures import Figure, save, table

NAMES = ("startup", "nodes", "podstart", "configmaps", "fanout", "scheduling", "memory", "idle", "dns", "proxy", "endpoints")
RESULTS = Path(__file__).with_name("results")


async def main(names: list[str]) -> int:
    """Runs them one after the other; a benchmark that fails is told of and the others go on."""
    figures: list[Figure] = []
    failed = []
    for name in names:
        print(f"{name}: {importlib.import_module(f'bench.measures.{name}').__doc__}", file=sys.stderr)
        load = os.getloadavg()[0]
        try:
            found = await importlib.import_module(f"bench.measures.{name}").measure()
        except Exception:
            traceback.print_exc()
            failed.append(name)
            continue
        figures += [replace(figure, load=load) for figure in found]
    if figures:
        print(table(figures))
        print(f"\nwritten to {os.path.relpath(save(figures, RESULTS))}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def arguments() -> list[str]:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures tiffin. Every benchmark has a cluster of its own and removes it.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of: {', '.join(NAMES)} (all)")
    names: list[str] = parser.parse_args().names
    unknown = set(names) - set(NAMES)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    return names or list(NAMES)


if __name__ == "__main__":
    sys.exit(uvloop.run(main(arguments())))
