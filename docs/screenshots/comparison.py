"""Screenshots docs/images/comparison*.png: the page of a comparison, in light mode, in dark mode and on a phone."""

import tempfile
from pathlib import Path
from typing import Any

from pages import PHONE, opened, run

STUDY = """
[study]
trials = 48
batch_size = 4
[objective]
model = "svm"
dataset = "digits"
[space]
C = { type = "real", low = 1e-3, high = 1e3, prior = "log-uniform" }
gamma = { type = "real", low = 1e-6, high = 1e2, prior = "log-uniform" }
kernel = { type = "categorical", choices = ["rbf", "sigmoid", "poly"] }
shrinking = { type = "categorical", choices = [true, false] }
degree = { type = "integer", low = 2, high = 5 }
"""
# The options of each study.
STUDIES = {
    "gaussian": ["--seed", "3"],
    "forest": ["--seed", "4", "--base-estimator", "RF"],
    "steady": ["--seed", "5", "--mode", "steady"],
}
PICTURES: dict[str, dict[str, Any]] = {
    "comparison": {"viewport": {"width": 1000, "height": 900}},
    "comparison-dark": {"viewport": {"width": 1000, "height": 900}, "color_scheme": "dark"},
    "comparison-phone": PHONE,
}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, output = folder / "study.toml", folder / "comparison.html"
        file.write_text(STUDY)
        for study, options in STUDIES.items():
            run(folder, "run", str(file), "--workers", "2", "--name", study, *options)
        run(folder, "compare", *STUDIES, "--output", str(output))
        for page, picture in opened(output, PICTURES):
            page.evaluate("() => new Promise((done) => setTimeout(done, 1000))")
            page.screenshot(path=picture, full_page=True)


if __name__ == "__main__":
    main()
