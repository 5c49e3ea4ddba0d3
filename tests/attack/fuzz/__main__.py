"""Runs fuzz targets with atheris, one after the other: `make fuzz SECONDS=60 TARGETS="export table"`.

The exit code is 1 if a target fails. The program keeps the failed input in `build/fuzz`, so that a developer can add it
to the corpus.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[3]
BUILD = ROOT / "build" / "fuzz"
LONGEST = 50_000
# An input that takes longer than this number of seconds counts as a failure.
SLOWEST = 20


def main() -> None:
    """Run the chosen targets, each in its own process, because atheris ends the process."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack.fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=60, help="Time for each target.")
    parser.add_argument("--only", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        _fuzz(given.targets[0], given.seconds)
    from tests.attack.fuzz.targets import CORPUS, TARGETS

    if unknown := [name for name in given.targets if name not in TARGETS]:
        parser.error(f"{unknown[0]} is not a target; the targets are {', '.join(TARGETS)}")
    failed = []
    for name in given.targets or TARGETS:
        command = [sys.executable, "-m", "tests.attack.fuzz", name, "--seconds", str(given.seconds), "--only"]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; {BUILD} has the inputs, which belong into {CORPUS.relative_to(ROOT)}")


def _fuzz(name: str, seconds: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["ledger", "tomllib", "tests.attack.fuzz.targets"]):
        from tests.attack.fuzz.targets import CORPUS, TARGETS
    from tests.attack.fuzz import mutation

    mutations: dict[str, Callable[[bytes, int, int], bytes | None]] = {
        "export": mutation.mutate_json,
        "study_file": mutation.mutate_toml,
        "answers": mutation.mutate_lines,
        "command_output": mutation.mutate_lines,
        "points": mutation.mutate_lines,
    }
    mutate = mutations.get(name)

    def custom(content: bytes, longest: int, seed: int) -> bytes:
        changed = None if mutate is None or seed % 4 == 0 else mutate(content, longest, seed)
        return atheris.Mutate(content, longest) if changed is None else changed

    found = BUILD / name
    found.mkdir(parents=True, exist_ok=True)
    options = [
        *(f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-timeout={SLOWEST}", "-print_final_stats=1"),
        *(f"-artifact_prefix={BUILD}/{name}-", str(found), str(CORPUS / name)),
    ]
    atheris.Setup([sys.argv[0], *options], TARGETS[name], custom_mutator=custom)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
