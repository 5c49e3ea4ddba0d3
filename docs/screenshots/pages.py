"""Commands of a ledger and its HTML pages, for the scripts that take pictures of these pages."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests import browser  # noqa: E402

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


def run(folder: Path, *words: str) -> None:
    """Run a command of the ledger whose home is in the folder."""
    environment = {**os.environ, "LEDGER_HOME": f"{folder}/home", "LEDGER_LOG_LEVEL": "warning"}
    environment.pop("DATABASE_URL", None)
    command = [sys.executable, "-m", "ledger", *words]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)


def opened(file: Path, pictures: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[Page, Path]]:
    """Open a page with the browser settings of each picture. Yield the drawn page and the file of the picture."""
    with browser.chromium() as running:
        for name, settings in pictures.items():
            page = running.new_page(**settings)
            page.goto(file.as_uri())
            page.wait_for_selector("html[data-drawn]")
            picture = ROOT / "docs" / "images" / f"{name}.png"
            yield page, picture
            sys.stdout.write(f"{picture.relative_to(ROOT)}: {picture.stat().st_size:,} bytes\n")
