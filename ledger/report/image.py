"""Draws plots as PNG images with a browser."""

import kaleido
from choreographer.errors import BrowserClosedError, BrowserFailedError, ChannelClosedError, ChromeNotFoundError

from ledger.errors import LedgerError
from ledger.report.combined import combined
from ledger.report.section import ReportSection
from ledger.text import one_line

# Number of image pixels per layout pixel, in each direction. Printers and high-resolution displays need more than one
# image pixel per layout pixel.
SCALE = 2


def png(section: ReportSection) -> bytes:
    """Return a section's plots as one PNG image on a white background. Several plots form a grid in the image.

    Raises
    ------
    LedgerError
        The section has no plots, no browser is installed, or the browser does not start or crashes.
    """
    figure, (width, height) = combined(section)
    try:
        # The page does not use MathJax, because the browser would load MathJax over the network. The browser loads
        # plotly.js from the installed package plotly.
        image: bytes = kaleido.calc_fig_sync(
            figure.to_dict(),
            opts={"format": "png", "width": width, "height": height, "scale": SCALE},
            kopts={"page_generator": kaleido.PageGenerator(mathjax=False)},
        )
    except ChromeNotFoundError:
        raise LedgerError(
            "a PNG needs Chromium or Chrome, and neither is installed: install one of the two browsers, for example by"
            " `apt-get install chromium`, or set BROWSER_PATH to the path of a browser; `ledger report NAME --output"
            " report.html` needs no browser"
        ) from None
    except (BrowserFailedError, BrowserClosedError, ChannelClosedError) as error:
        raise LedgerError(
            f"the browser for the PNG did not start, or crashed ({one_line(str(error.args[0]))}): set BROWSER_PATH"
            " to another browser; `ledger report NAME --output report.html` needs no browser"
        ) from None
    return image
