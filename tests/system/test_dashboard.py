"""`ledger dashboard` in a real browser, on a running study."""

import json
import re
import shlex
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from ledger import embedded
from ledger.optuna.dashboard import READ_ONLY
from tests import browser
from tests.pages import ROOT, blocks, reader
from tests.system.programs import BLOCKING, PATIENCE, Program, own_study, wait_until

OBJECTIVE = f"""
{BLOCKING}
def then_blocked(params):
    trained = pathlib.Path("trained")
    if trained.exists() and trained.read_text() == "xxx":
        return blocked(params)
    with trained.open("a") as file:
        file.write("x")
    return params["x"] ** 2
"""


@pytest.fixture
def page() -> Iterator[Page]:
    with browser.chromium() as running:
        page = running.new_page()
        page.set_default_timeout(1_000 * PATIENCE)
        yield page


def test_the_page_of_a_running_study_shows_its_history_and_best_trial(tmp_path, page):
    program = Program(tmp_path)
    own_study(tmp_path, OBJECTIVE, "then_blocked", batch_size=4)
    program.run("db", "upgrade")
    program.run("optuna", "enable")
    search = program.start("run", "own.toml", "--workers", "1", "--allow", "mine")
    wait_until((tmp_path / "begun").exists)
    dashboard = program.start("dashboard", "--port", "0")
    assert dashboard.stdout is not None
    line = dashboard.stdout.readline()
    found = re.fullmatch(r"the dashboard is at (http://127\.0\.0\.1:\d+)/dashboard; Ctrl-C stops the dashboard\n", line)
    assert found is not None, line + dashboard.communicate(timeout=PATIENCE)[1]
    address = found[1]

    def best() -> tuple[int, float, float]:
        ((number, x, value),) = program.query(
            "select trial, (params ->> 'x')::float8, value from ledger.best_trials where rank = 1"
        )
        return number, x, value

    def shows(it: Page, complete: int) -> None:
        number, x, value = best()
        expect(it.get_by_text(f"Best Trial (number={number})")).to_be_visible(timeout=1_000 * PATIENCE)
        expect(it.get_by_text(str(value), exact=True).first).to_be_visible()
        expect(it.get_by_text(f"Params = [x: {x}]")).to_be_visible()
        history = it.locator("#graph-history-0, .js-plotly-plot").first
        points = history.locator(".scatterlayer .trace").first.locator(".points path")
        expect(points).to_have_count(complete, timeout=1_000 * PATIENCE)

    failed: list[str] = []
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.goto(f"{address}/dashboard")
    page.get_by_text("own").first.click()
    page.wait_for_url("**/studies/1")
    shows(page, 3)
    (tmp_path / "go").touch()
    search.communicate()
    assert search.returncode == 0
    # the search has ended, and the dashboard keeps the server that it started
    assert embedded.is_running(program.home)
    page.reload()
    shows(page, 4)
    assert not failed

    before = program.query("select * from ledger.study, ledger.trial")
    with urllib.request.urlopen(f"{address}/api/studies") as answer:
        (card,) = json.loads(answer.read())["study_summaries"]
    assert card["study_name"] == f"own (complete, best {best()[2]:.6g})"
    for method, path, command in (
        ("DELETE", "studies/1", "ledger study delete NAME"),
        ("POST", "studies/1/rename", "ledger study rename NAME NEW_NAME"),
        ("POST", "trials/4096/tell", "a worker of the ledger"),
        ("PUT", "studies/1/note", "ledger study annotate NAME --note TEXT"),
        ("PUT", "studies/1/4096/note", "ledger trial annotate NAME NUMBER --note TEXT"),
        ("POST", "studies/1/preference", READ_ONLY),
    ):
        request = urllib.request.Request(f"{address}/api/{path}", b"{}", method=method)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request)
        assert refused.value.code == 403
        assert command in json.loads(refused.value.read())["reason"]
    assert program.query("select * from ledger.study, ledger.trial") == before

    dashboard.send_signal(signal.SIGINT)
    assert dashboard.communicate(timeout=PATIENCE) == ("the dashboard has stopped\n", "")
    assert dashboard.returncode == 0
    assert not embedded.is_running(program.home)


@pytest.mark.slow
def test_the_quick_start_leads_to_a_page_of_the_readers_own_csv(tmp_path, page):
    """Run the last steps of the quick start, and look at the page in a browser, which test_docs.py cannot do."""
    text = (ROOT / "docs" / "quick-start.md").read_text()
    steps = text[text.index("## Your own data") :]
    (shown,) = [block for block in blocks(steps) if "run by" in block.said]
    (command,) = shown.commands()
    with reader(steps, tmp_path) as it:
        it.read(steps, lambda _block, _said: None)
        asked = ["psql", "-Atc", "select trial, value from ledger.best_trials where study = 'own' order by rank"]
        best = subprocess.check_output(["ledger", "db", *asked], cwd=tmp_path / "clone", env=it.environment, text=True)
        ranked = [line.split("|") for line in best.splitlines()]
        value = ranked[0][1]
        # where several trials have the best value, the page may name any of them
        numbers = "|".join(number for number, its_value in ranked if its_value == value)
        # a free port
        dashboard = subprocess.Popen(
            [*shlex.split(command.text), "--port", "0"],
            cwd=tmp_path / "clone",
            env=it.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert dashboard.stdout is not None
            line = dashboard.stdout.readline()
            found = re.fullmatch(
                r"the dashboard is at (http://127\.0\.0\.1:\d+/dashboard); Ctrl-C stops the dashboard\n", line
            )
            assert found is not None, line
            assert re.sub(r":\d+/", ":8080/", line).strip() in command.shown
            page.goto(found[1])
            page.get_by_text(re.compile(r"\bown\b")).first.click()
            named = page.get_by_text(re.compile(rf"Best Trial \(number=({numbers})\)"))
            expect(named).to_be_visible(timeout=1_000 * PATIENCE)
            expect(page.get_by_text(value, exact=True).first).to_be_visible()
            points = page.locator("#graph-history-0, .js-plotly-plot").first.locator(".scatterlayer .trace").first
            expect(points.locator(".points path")).to_have_count(12, timeout=1_000 * PATIENCE)
        finally:
            dashboard.send_signal(signal.SIGINT)
            dashboard.communicate(timeout=PATIENCE)
