"""`python -m benchmarks [SECTION ...]`: measure, and write benchmarks/RESULTS.md.

A section is a module of this package with a function `run() -> str`. The function returns Markdown that begins with a
heading of the second level. Its text is stored in benchmarks/results/, so sections can run one at a time. The
commands `make bench-quality`, `make bench-stopping`, `make bench-public` and `make bench-earlier` write the sections
of `ELSEWHERE`.
"""

import argparse
import importlib
import inspect
import pkgutil
import time
from collections.abc import Iterable
from types import ModuleType

import benchmarks
from benchmarks import report

# These sections come first; the others follow in the order of their names.
FIRST = (
    "proposals",
    "histories",
    "pruned",
    "resume",
    "quality",
    "public",
    "stopping",
    "mlp",
    "turnaround",
    "utilisation",
)
# These sections have their own commands.
ELSEWHERE = ("quality", "public", "stopping", "earlier")


def sections() -> dict[str, ModuleType]:
    """Return the modules of the sections, in the order of the report."""
    names = [one.name for one in pkgutil.iter_modules(benchmarks.__path__) if one.name != "__main__"]
    modules = {name: importlib.import_module(f"benchmarks.{name}") for name in _in_order(names)}
    return {name: module for name, module in modules.items() if hasattr(module, "run") and name not in ELSEWHERE}


def assemble() -> None:
    """Write RESULTS.md from the stored texts of all sections."""
    report.assemble(_in_order({*sections(), *ELSEWHERE}))


def _in_order(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))


def main() -> None:
    found = sections()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=str(__doc__).partition("\n")[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"one of {', '.join(found)}; default: all")
    parser.add_argument(
        "--quick", action="store_true", help="run with small sizes, as a test; print the result and write no file"
    )
    asked = parser.parse_args()
    for name in asked.sections:
        if name not in found:
            parser.error(f"section {name!r} does not exist: choose from {', '.join(found)}")
    for name in asked.sections or found:
        print(f"{name} ...", flush=True)
        started = time.perf_counter()
        run = found[name].run
        quick = {"quick": True} if asked.quick and "quick" in inspect.signature(run).parameters else {}
        text = run(**quick)
        if asked.quick:
            print(text, flush=True)
            continue
        report.keep(name, text, f"python -m benchmarks {name}", time.perf_counter() - started)
        assemble()
        print(f"{name}: {time.perf_counter() - started:.0f} s, written to {report.RESULTS}", flush=True)


if __name__ == "__main__":
    main()
