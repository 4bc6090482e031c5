"""Environment variables by which the emulated engine inside Triton is told what no client may read."""

ANSWERS_VARIABLE = "SAGESCHED_EMULATOR_ANSWERS"
"""File of true lengths; absent where lengths are drawn."""

REPORT_VARIABLE = "SAGESCHED_EMULATOR_REPORT"
"""Where the engine writes its report."""
