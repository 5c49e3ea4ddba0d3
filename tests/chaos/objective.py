"""Fast objective with a rugged value to maximise. CHAOS_TRIAL_SECONDS sets its duration, not its value."""

import hashlib
import json
import math
import os
import random
import time

from ledger import LedgerError, TrialPruned

# Number of reports of each trial.
STEPS = 4
# Number of random bytes in each checkpoint.
PADDING = 2_000
# Seconds between two calls while the store fails.
PAUSE = 0.05


def rugged(params, context):
    """Return a value that depends only on the parameters and the trial's seed, and report the steps of a curve.

    The value also depends on a weight that each step changes. An attempt that continues after a checkpoint gets the
    weight of a training without faults.
    """
    noise = random.Random(context.seed)
    x, y = params["x"], params["y"]
    hills = 20 + x**2 + y**2 - 10 * (math.cos(2 * math.pi * x) + math.cos(2 * math.pi * y))
    loss = hills + {"flat": 0.0, "steep": 3.0, "odd": params["steps"] % 2}[params["kind"]] + params["steps"] / 16
    # JSON has neither tuples nor Python's None
    assert params["pair"] is None or isinstance(params["pair"], tuple)
    loss += math.log2(params["power"]) / 8 + {"low": 0.5, "middle": 0.0, "high": 1.0}[params["level"]]
    loss += 1.0 if params["pair"] is None else params["pair"][0]
    _until_the_store_works(lambda: context.save_artifact("loss.txt", repr(loss).encode()))
    # one trial in eight takes long enough to need heartbeats
    times = noise.choice([0.5, 0.6, 0.8, 0.9, 1.0, 1.2, 1.5, 5.0])
    weight, first, torn = 1.0, 0, 0
    if (last := context.restore()) is not None:
        first = last.step + 1
        state = (last.folder / "state").read_text()
        torn = int((last.folder / "digest").read_text() != _digest(state))
        trial, weight, _padding = json.loads(state)
        assert trial == context.trial
    for step in range(first, STEPS):
        time.sleep(times * float(os.environ["CHAOS_TRIAL_SECONDS"]) / STEPS)
        weight = weight / 3 + random.Random(f"{context.seed} {step}").random()
        context.report(x + step, step)
        if context.should_prune():
            raise TrialPruned
        if step % 2 == 1 or context.should_leave():
            padding = random.Random(f"{context.seed} {step}").randbytes(PADDING).hex()
            _keep(context, step, json.dumps([context.trial, weight, padding]))
    return {"value": -loss - weight - noise.gauss(0, 0.1), "times": times, "torn": torn}


def _keep(context, step, state):
    def keep():
        with context.checkpoint(step) as folder:
            (folder / "state").write_text(state)
            (folder / "digest").write_text(_digest(state))

    _until_the_store_works(keep)


def _until_the_store_works(save):
    """Repeat a call that a store refuses. If the claim is lost, the worker ends this process."""
    while True:
        try:
            save()
        except LedgerError:
            time.sleep(PAUSE)
        else:
            return


def _digest(state):
    return hashlib.sha256(state.encode()).hexdigest()
