"""`make bench`: measured beside a peer in one run, written to benchmarks/RESULTS.md."""

import platform
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import claims
from ledger import embedded


def main() -> None:
    with tempfile.TemporaryDirectory() as home, embedded.running(Path(home), create=True) as url:
        server, table = claims.measure(url)
    results = Path(__file__).parent / "RESULTS.md"
    results.write_text(
        f"# Results\n\nMade by `make bench` on {datetime.now(UTC):%Y-%m-%d}: {platform.machine()},"
        f" {claims.CORES} cores, Python {platform.python_version()}, PostgreSQL {server}.\n\n{table}"
    )
    print(f"wrote {results}")


main()
