"""`python -m benchmarks [SECTION ...]`: measure, and write benchmarks/RESULTS.md.

A section is a module of this package with a function `run() -> str`, which returns Markdown that begins with a heading
of the second level. What it found is kept in benchmarks/results/, so that sections may be run one by one. What searches
find is a section too, which `make bench-quality` makes.
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

# The rest comes behind these, by name.
FIRST = ("proposals", "resume", "quality", "turnaround", "utilisation")


def sections() -> dict[str, ModuleType]:
    """Return the modules that measure, in the order of the report."""
    names = [one.name for one in pkgutil.iter_modules(benchmarks.__path__) if one.name != "__main__"]
    modules = {name: importlib.import_module(f"benchmarks.{name}") for name in _in_order(names)}
    return {name: module for name, module in modules.items() if hasattr(module, "run")}


def assemble() -> None:
    """Write RESULTS.md from what all sections found."""
    report.assemble(_in_order({*sections(), "quality"}))


def _in_order(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))


def main() -> None:
    found = sections()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=str(__doc__).partition("\n")[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"one of {', '.join(found)}; default: all")
    parser.add_argument(
        "--quick", action="store_true", help="sizes that only show that it runs; prints, writes nothing"
    )
    asked = parser.parse_args()
    for name in asked.sections:
        if name not in found:
            parser.error(f"there is no section {name!r}: choose {', '.join(found)}")
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
