"""Leads to `sagesched_emulator.triton_model.preprocessing`."""

import importlib
import os
import sys

# The embedded interpreter may ignore PYTHONPATH, so its packages come by a variable of our own.
sys.path[:0] = os.environ["SAGESCHED_TRITON_PYTHONPATH"].split(os.pathsep)

TritonPythonModel = importlib.import_module(
    "sagesched_emulator.triton_model.preprocessing"
).PreprocessingModel
