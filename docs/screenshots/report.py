"""Screenshots docs/images/report*.png: the report of a small study, in light mode, in dark mode and on a phone."""

import tempfile
from pathlib import Path
from typing import Any

from pages import PHONE, opened, run
from playwright.sync_api import Page

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
PICTURES: dict[str, dict[str, Any]] = {
    "report": {"viewport": {"width": 1100, "height": 900}},
    "report-dark": {"viewport": {"width": 1100, "height": 900}, "color_scheme": "dark"},
    "report-phone": PHONE,
}
# The first section and the last section of each picture.
SECTIONS = {
    "report": ("header", "parallel"),
    "report-dark": ("parameters", "timeline"),
    "report-phone": ("header", ""),
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
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study, output = folder / "study.toml", folder / "report.html"
        study.write_text(STUDY)
        run(folder, "run", str(study), "--workers", "3")
        run(folder, "report", "digits", "--output", str(output))
        for page, picture in opened(output, PICTURES):
            # The browser draws the parallel coordinates some frames later.
            page.wait_for_function("document.querySelectorAll('.parcoords .axis').length > 0")
            page.evaluate("() => new Promise((done) => setTimeout(done, 1000))")
            save(page, picture, *SECTIONS[picture.stem])


if __name__ == "__main__":
    main()
