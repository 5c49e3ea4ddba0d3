"""Screenshots docs/images/comparison*.png: the page of a comparison, in light mode, in dark mode and on a phone."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests import browser  # noqa: E402

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
PICTURES = {
    "comparison": {"viewport": {"width": 1000, "height": 900}},
    "comparison-dark": {"viewport": {"width": 1000, "height": 900}, "color_scheme": "dark"},
    "comparison-phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "LEDGER_HOME": f"{folder}/home", "LEDGER_LOG_LEVEL": "warning"}
        environment.pop("DATABASE_URL", None)
        file, output = Path(folder, "study.toml"), Path(folder, "comparison.html")
        file.write_text(STUDY)
        commands = [["run", str(file), "--workers", "2", "--name", name, *options] for name, options in STUDIES.items()]
        for words in (*commands, ["compare", *STUDIES, "--output", str(output)]):
            command = [sys.executable, "-m", "ledger", *words]
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        with browser.chromium() as running:
            for name, reader in PICTURES.items():
                page = running.new_page(**reader)  # type: ignore[arg-type]
                page.goto(output.as_uri())
                page.wait_for_selector("html[data-drawn]")
                page.evaluate("() => new Promise((done) => setTimeout(done, 1000))")
                picture = ROOT / "docs" / "images" / f"{name}.png"
                page.screenshot(path=picture, full_page=True)
                sys.stdout.write(f"{picture.relative_to(ROOT)}: {picture.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
