"""Update of docs/ask-the-ledger.md: run a study, retry one trial, and write the output of the commands into the page.

Only blocks marked `run by` are rewritten, because their output differs from run to run. Each block is one command.
tests/integration/test_queries.py compares the columns with the queries.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "ask-the-ledger.md"
SEARCH = """
ledger run docs/studies/neighbours.toml --workers 2 --allow neighbours
ledger trial retry neighbours $(ledger db psql -Atc "select min(trial) from ledger.trials where state = 'failed'")
ledger resume neighbours --workers 1 --allow neighbours
ledger study view neighbours
"""
BLOCK = re.compile(r"(<!-- run by: [^\n]* -->\n```console\n\$ ([^\n]*)\n).*?(```\n)", re.DOTALL)


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"} | {
            "LEDGER_HOME": home,
            "LEDGER_LOG_LEVEL": "error",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": "docs/studies",
            "PSQLRC": os.devnull,
            "PGTZ": "UTC",
        }

        def said(command: str) -> str:
            shell = ["/bin/bash", "-euc", command]
            answer = subprocess.run(shell, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
            return "\n".join(line.rstrip() for line in answer.stdout.splitlines()).rstrip() + "\n"

        said(SEARCH)
        PAGE.write_text(BLOCK.sub(lambda block: block[1] + said(block[2]) + block[3], PAGE.read_text()))


main()
