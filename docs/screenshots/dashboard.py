"""Screenshot docs/images/dashboard.png: optuna-dashboard on a ledger.

It needs the extras dev and dashboard, and Chromium. It can run in any folder.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests import browser  # noqa: E402

STUDY = """
[study]
name = "wide-svm"
iterations = 12
batch_size = 4
seed = 3
[objective]
model = "svm"
dataset = "digits"
[space]
C = { type = "real", low = 1e-3, high = 1e3, prior = "log-uniform" }
gamma = { type = "real", low = 1e-6, high = 10.0, prior = "log-uniform" }
kernel = { type = "categorical", choices = ["rbf", "sigmoid"] }
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        environment |= {"LEDGER_HOME": home, "LEDGER_LOG_LEVEL": "warning"}
        ledger = [sys.executable, "-m", "ledger"]
        file = Path(home, "study.toml")
        file.write_text(STUDY)
        subprocess.run([*ledger, "run", str(file), "--workers", "2"], env=environment, check=True)
        subprocess.run([*ledger, "optuna", "enable"], env=environment, check=True)
        command = [*ledger, "dashboard", "--port", "0"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as dashboard:
            try:
                assert dashboard.stdout is not None
                found = re.search(r"http://\S+/dashboard", dashboard.stdout.readline())
                assert found is not None
                take(f"{found[0]}/studies/1", ROOT / "docs" / "images" / "dashboard.png")
            finally:
                dashboard.terminate()


def take(url: str, file: Path) -> None:
    with browser.chromium() as running:
        page = running.new_page(viewport={"width": 1280, "height": 1480})
        page.goto(url)
        page.get_by_text("Best Trial").first.wait_for()
        page.locator(".js-plotly-plot .scatterlayer .trace").first.wait_for()
        page.locator(".js-plotly-plot .bars path").first.wait_for()
        page.wait_for_load_state("networkidle")
        page.screenshot(path=file)


main()
