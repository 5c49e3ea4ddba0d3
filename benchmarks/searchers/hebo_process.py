"""The process that runs HEBO. `benchmarks.searchers.hebo` starts it with the Python of another environment.

The process imports only HEBO, and no module of this project. It reads lines of JSON from standard input, and answers
each line with a line of JSON. The first line contains the seed and the parameters. The later lines ask for points, or
tell losses. Each answer contains the processor seconds of all proposals so far.
"""

import json
import os
import sys
import time
import warnings


def main() -> None:
    # HEBO prints texts, which must not be among the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")

    import numpy as np
    import torch
    from hebo.design_space.design_space import DesignSpace
    from hebo.optimizers.hebo import HEBO

    torch.set_num_threads(1)
    given = json.loads(sys.stdin.readline())
    np.random.seed(given["seed"])  # HEBO draws from the global generators
    torch.manual_seed(given["seed"])
    optimizer = HEBO(DesignSpace().parse(given["parameters"]), scramble_seed=given["seed"])
    suggested, begun = None, time.process_time()
    for line in sys.stdin:
        asked, answer = json.loads(line), {}
        if "ask" in asked:
            suggested = optimizer.suggest(n_suggestions=asked["ask"])
            answer["points"] = suggested.to_dict("records")
        else:
            optimizer.observe(suggested, np.array(asked["tell"], dtype=float)[:, None])
        # The numbers of numpy are no numbers of JSON.
        text = json.dumps({**answer, "seconds": time.process_time() - begun}, default=float)
        print(text, file=answers, flush=True)


if __name__ == "__main__":
    main()
