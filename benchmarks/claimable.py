"""Hold a ledger with trials to claim, until standard input ends: `python benchmarks/claimable.py TRIALS`.

The module uses only what the benchmarks of earlier commits have too, because `benchmarks.earlier` runs it with the
code of an earlier commit. Its first line of output is a JSON object with the id of the study and the URL.
"""

import json
import math
import random
import sys

from benchmarks.ledgers import NAMES, ledger

STUDY = "claimable"
BATCH = 100


def main(trials: int) -> None:
    source = random.Random(0)
    with ledger() as found:
        iterations = math.ceil(trials / BATCH)
        row = found.study(STUDY, iterations=iterations, batch_size=BATCH)
        for number in range(iterations):
            found.propose(row, number, [[source.random() for _ in NAMES] for _ in range(BATCH)])
        print(json.dumps({"study_id": row.id, "url": found.url}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]))
