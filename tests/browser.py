"""The browser for tests of pages: Chromium of the machine, without a network."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def path() -> str:
    """Return the path of Chromium. The test is skipped if this machine has none."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("no Chromium is here: apt-get install chromium")
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a new browser with an empty profile. The browser ends with the block."""
    program = path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()
