"""Screenshots docs/images/report*.png: the report of a small study, in light mode, in dark mode and on a phone."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests import browser  # noqa: E402

STUDY = """
[study]
name = "digits"
iterations = 12
batch_size = 4
seed = 7
[objective]
model = "svm"
dataset = "digits"
[space]
C = { type = "real", low = 1e-3, high = 1e3, prior = "log-uniform" }
gamma = { type = "real", low = 1e-5, high = 1.0, prior = "log-uniform" }
kernel = { type = "categorical", choices = ["rbf", "sigmoid", "poly"] }
shrinking = { type = "categorical", choices = [true, false] }
degree = { type = "integer", low = 2, high = 5 }
"""
# The browser settings, the first section and the last section of each picture.
PICTURES = {
    "report": ({"viewport": {"width": 1100, "height": 900}}, "header", "parallel"),
    "report-dark": ({"viewport": {"width": 1100, "height": 900}, "color_scheme": "dark"}, "parameters", "timeline"),
    "report-phone": ({"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}, "header", ""),
}


def save(page: Page, file: Path, first: str, last: str) -> None:
    top, bottom, width = page.evaluate(
        """([first, last]) => {
             const of = (name) => document.querySelector(name === "header" ? name : `#${name}`).getBoundingClientRect();
             return [of(first).top + scrollY, last ? of(last).bottom + scrollY : 1700, innerWidth];
           }""",
        [first, last],
    )
    clip = {"x": 0, "y": max(0, top - 16), "width": width, "height": bottom - max(0, top - 16) + 16}
    page.screenshot(path=file, full_page=True, clip=clip)  # type: ignore[arg-type]  # clip is a TypedDict of floats


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "LEDGER_HOME": f"{folder}/home", "LEDGER_LOG_LEVEL": "warning"}
        environment.pop("DATABASE_URL", None)
        study, output = Path(folder, "study.toml"), Path(folder, "report.html")
        study.write_text(STUDY)
        for words in (
            ["run", str(study), "--workers", "3"],
            ["report", "digits", "--output", str(output)],
        ):
            command = [sys.executable, "-m", "ledger", *words]
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        with browser.chromium() as running:
            for name, (reader, first, last) in PICTURES.items():
                page = running.new_page(**reader)  # type: ignore[arg-type]
                page.goto(output.as_uri())
                page.wait_for_selector("html[data-drawn]")
                # The browser draws the parallel coordinates some frames later.
                page.wait_for_function("document.querySelectorAll('.parcoords .axis').length > 0")
                page.evaluate("() => new Promise((done) => setTimeout(done, 1000))")
                file = ROOT / "docs" / "images" / f"{name}.png"
                save(page, file, first, last)
                sys.stdout.write(f"{file.relative_to(ROOT)}: {file.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
