"""Pictures docs/images/notebook-*.png: a notebook while a search runs, and after the end of the search.

The cells are those of examples/notebooks/first-search.ipynb. The script needs the extra dev, Chromium, and nbconvert
(`pip install nbconvert`), which draws the cells as JupyterLab does.
"""

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests import browser  # noqa: E402

NOTEBOOK = ROOT / "examples" / "notebooks" / "first-search.ipynb"
# The code that a cell contains, for the cell with the search and the cell that shows the result.
SEARCH, RESULT = "ledger.maximize(accuracy", "result"
# The number of ended trials after which the picture of the running search is taken.
ENDED = 13


def display_of(cell: Any) -> str:
    return "".join(output.data.get("text/html", "") for output in cell.outputs if output.output_type == "display_data")


def run(folder: Path) -> tuple[list[Any], list[Any]]:
    """Run the notebook, and return the cells of the two pictures."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    search = next(at for at, cell in enumerate(notebook.cells) if SEARCH in cell.source)
    result = next(at for at, cell in enumerate(notebook.cells) if cell.source == RESULT)
    client = NotebookClient(notebook, resources={"metadata": {"path": str(folder)}})
    thread = threading.Thread(target=client.execute)
    thread.start()
    running: list[Any] = []
    while thread.is_alive() and not running:
        cells = deepcopy(notebook.cells[search - 1 : search + 1])
        ended = re.search(r'<progress value="(\d+)"', display_of(cells[-1]))
        if ended is not None and int(ended[1]) >= ENDED:
            running = cells
        time.sleep(0.05)
    thread.join()
    if running:
        # The cell has no number while it runs.
        running[-1].execution_count = None
    else:
        sys.exit(f"no display showed {ENDED} ended trials while the search ran")
    done = notebook.cells[search : search + 1] + notebook.cells[result - 1 : result + 1]
    return running, done


def save(cells: list[Any], folder: Path, name: str) -> None:
    """Draw the cells, and save the picture."""
    file = folder / f"{name}.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), file)
    command = [sys.executable, "-m", "nbconvert", "--to", "html", str(file)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    page_file = file.with_suffix(".html")
    # JupyterLab shows a star beside a cell that runs.
    page_file.write_text(page_file.read_text().replace("[\N{NO-BREAK SPACE}]:", "[*]:").replace("[&nbsp;]:", "[*]:"))
    with browser.chromium() as running:
        page = running.new_page(viewport={"width": 860, "height": 200}, device_scale_factor=1.5)
        page.goto(page_file.as_uri(), wait_until="domcontentloaded")
        target = ROOT / "docs" / "images" / f"{name}.png"
        page.screenshot(path=target, full_page=True)
        sys.stdout.write(f"{target.relative_to(ROOT)}: {target.stat().st_size:,} bytes\n")


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        os.environ.pop("DATABASE_URL", None)
        os.environ["LEDGER_HOME"] = str(folder / "ledger")
        running, done = run(folder)
        save(running, folder, "notebook-running")
        save(done, folder, "notebook-done")


if __name__ == "__main__":
    main()
