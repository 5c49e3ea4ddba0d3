"""Imports of Keras, on its torch backend, and of Lightning. Their warnings are not those of the project."""

import os
import warnings

os.environ["KERAS_BACKEND"] = "torch"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import keras  # noqa: F401
    import lightning.pytorch  # noqa: F401
    import torch

# Trainers compute on one thread too.
torch.set_num_threads(1)
