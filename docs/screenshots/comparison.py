"""Screenshots docs/images/comparison*.png: the page of a comparison, in light mode, in dark mode and on a phone."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests import browser  # noqa: E402

SEARCH = ["run", "--model", "svm", "--dataset", "digits", "--trials", "32", "--batch-size", "4", "--workers", "2"]
STUDIES = {
    "gaussian": [],
    "forest": ["--base-estimator", "RF"],
    "steady": ["--mode", "steady", "--seed", "7"],
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
        output = Path(folder, "comparison.html")
        commands = [[*SEARCH, "--name", name, *options] for name, options in STUDIES.items()]
        for words in (*commands, ["compare", *STUDIES, "--output", str(output)]):
            command = [sys.executable, "-m", "ledger", *words]
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        with browser.chromium() as running:
            for name, reader in PICTURES.items():
                page = running.new_page(**reader)  # type: ignore[arg-type]
                page.goto(output.as_uri())
                page.wait_for_selector("html[data-drawn]")
                page.evaluate("() => new Promise((done) => setTimeout(done, 1000))")
                file = ROOT / "docs" / "images" / f"{name}.png"
                page.screenshot(path=file, full_page=True)
                sys.stdout.write(f"{file.relative_to(ROOT)}: {file.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
