"""Pictures docs/images/terminal*.svg: the live view of a small study while most workers train, and the study's end."""

import inspect
import os
import re
import subprocess
import sys
import tempfile
import time
from io import StringIO
from pathlib import Path

from rich.console import Console, RenderableType
from rich.text import Text
from sqlalchemy.exc import DBAPIError

from ledger import embedded
from ledger.database import status, studies
from ledger.database.connection import ServerUnreachable, engine
from ledger.database.status import StudyStatus
from ledger.errors import LedgerError
from ledger.terminal.panel import StatusPanel

ROOT = Path(__file__).parents[2]
COMMAND = "ledger run study.toml --workers 4"
STUDY = """
[study]
name = "digits"
iterations = 12
batch_size = 6
[objective]
model = "xgb"
dataset = "digits"
"""
# The format of rich without its fonts, which a browser would download.
FORMAT = inspect.signature(Console.export_svg).parameters["code_format"].default
NO_FONTS = re.sub(r"@font-face \{\{.*?\}\}", "", FORMAT, flags=re.DOTALL)


def watch(home: Path) -> StudyStatus:
    """Return the first status in which more than half of the trials have ended and three workers are training."""
    end = time.monotonic() + 600
    while time.monotonic() < end:
        try:
            with engine(embedded.url(home)).connect() as db:
                study = studies.get(db, "digits")
                while time.monotonic() < end:
                    now = status.read(db, study.id)
                    training = sum(worker.trial is not None for worker in now.workers)
                    if now.ended > now.budget // 2 and training >= 3:
                        return now
                    if now.has_ended:
                        sys.exit("the study ended before three workers were training at the same time")
                    time.sleep(0.02)
        except (ServerUnreachable, LedgerError, DBAPIError):
            time.sleep(0.2)
    sys.exit("no suitable moment within 10 minutes")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        (Path(folder) / "study.toml").write_text(STUDY)
        environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        environment["LEDGER_HOME"] = str(home)
        command = [sys.executable, "-m", *COMMAND.split()]
        run = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            save("terminal", StatusPanel(watch(home)))
            outcome, _ = run.communicate()
        finally:
            run.terminate()
            run.wait()
    save("terminal-end", Text(outcome.rstrip()))


def save(name: str, shown: RenderableType) -> None:
    """Save what a terminal shows after the command."""
    console = Console(record=True, width=92, height=30, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text(f"$ {COMMAND}"))
    console.print(shown)
    file = ROOT / "docs" / "images" / f"{name}.svg"
    console.save_svg(str(file), title="ledger", code_format=NO_FONTS, unique_id=name)


main()
