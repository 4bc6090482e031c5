"""Sizes of the trained networks; what training, graphs and cards agree on."""

from __future__ import annotations

from sagesched_predictor.prior import LEVELS

HIDDEN = 256
TRAITS = 64
PROJECTED = 64
DIMENSION = TRAITS + PROJECTED
# Half weight: enough to find similar prompts by, and the learned half still leads.
PROJECTED_WEIGHT = 0.5
HEAD_HIDDEN = 128
REPRESENTATION = 64
# Unit vectors of 128 numbers are small for a dense layer; about the norm that they had before.
EMBEDDING_SCALE = 8.0
NORM_FLOOR = 1e-6
# A feature further out than this many standard deviations counts as this far.
FEATURE_LIMIT = 4.0
# Where the median stands among the levels.
MIDDLE = LEVELS.index(0.5)
