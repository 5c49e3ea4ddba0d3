"""Benchmarks against other tools: speed, the quality of searches, and early stopping."""

import os

# All tools compute on one thread. numpy and torch read these variables when they are loaded, so set them before.
# Child processes inherit them.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
