"""Put the output of three queries into README.md, asked of the study of `make demo`; --check only compares.

Exit code 1 where README.md is out of date. The queries ask for nothing that differs from run to run.
"""

import difflib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
DEMO = ["run", "--model", "svm", "--iterations", "3", "--points", "2", "--workers", "2", "--seed", "42"]
BLOCK = re.compile(r"(<!-- query -->\n```console\n\$ ledger db psql -c \"(.*?)\"\n).*?(```\n)", re.DOTALL)


def ledger(*arguments: str, home: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment |= {"LEDGER_HOME": home, "LEDGER_LOG_LEVEL": "warning", "PSQLRC": os.devnull}
    command = [sys.executable, "-m", "ledger", *arguments]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    readme = ROOT / "README.md"
    before = readme.read_text()
    with tempfile.TemporaryDirectory() as home:
        ledger(*DEMO, home=home)

        def answered(block: re.Match[str]) -> str:
            question = block[2].replace("\\\n", " ")
            output = ledger("db", "psql", "-c", question, home=home)
            return block[1] + "\n".join(line.rstrip() for line in output.splitlines()).rstrip() + "\n" + block[3]

        after = BLOCK.sub(answered, before)
    if after == before:
        return
    if "--check" in sys.argv:
        difference = difflib.unified_diff(before.splitlines(), after.splitlines(), "README.md", "now", lineterm="")
        sys.exit("README.md is out of date: run docs/readme_queries.py\n" + "\n".join(difference))
    readme.write_text(after)


main()
