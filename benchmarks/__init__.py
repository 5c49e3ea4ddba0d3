"""Measured beside peers: `make bench` for speed, `make bench-quality` for what a search finds."""

import os

# Whoever computes does it on one thread, peers included. Set before numpy or torch is loaded; processes inherit it.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
