"""What it costs to compare a prompt only with the records that a sketch names (CASTILLO, decision 44).

    python bench/sketch_search.py

The shipped predictor observes `--records` answers to prompts of the folds that it was trained on, and is
asked for those of the fold that it never saw. Printed are the share of the nearest records that are found,
and with everything compared and with a sketch: Kendall's tau, pinball gain, share inside the central 90 %.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from unittest.mock import patch

import numpy as np
from castillo import DEFAULT_MODEL, default_data_folder, read_castillo
from embedded_prompts import LookUp, load_prompts
from predictor_quality import lines_of

from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.comparison import NEAREST
from sagesched_predictor.evaluation import evaluate
from sagesched_predictor.head import load_prior
from sagesched_predictor.history import NUM_COMPARED, History
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.ring import FloatMatrix, Ring
from sagesched_predictor.sketch import LEAST_SHARE
from sagesched_predictor.training.export import export_encoder
from sagesched_predictor.training.held_out import HELD_OUT_FOLD, fold_of

MAX_TOKENS = 2048


def share_found(ring: Ring, embeddings: FloatMatrix) -> float:
    """Of the nearest records of each prompt, what share the sketch names."""
    assert ring.sketch is not None, "there are too few records for a sketch"
    found = []
    for embedding in embeddings:
        nearest = np.argsort(ring.embeddings @ embedding)[-NEAREST:]
        named = ring.sketch.likely_nearest(embedding, len(ring), NUM_COMPARED)
        found.append(np.isin(nearest, named).mean())
    return float(np.mean(found))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=default_data_folder(), help="the data pack")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--records", type=int, default=10_000)
    options = parser.parse_args()
    folder = export_encoder()
    artifact, rows = EncoderArtifact.load(folder), read_castillo(options.data, options.model)
    prompts = load_prompts(options.data, options.model, folder, 1)
    embedder = LookUp(prompts.texts, prompts.embeddings)
    asked_rows = [row for row in rows if fold_of(row.prompt) == HELD_OUT_FOLD]
    others = [row for row in rows if fold_of(row.prompt) != HELD_OUT_FOLD]
    rounds = -(-options.records // len(others))
    drawn = [line for seed in range(rounds) for line in lines_of(others, options.model, MAX_TOKENS, seed)]
    order = np.random.default_rng(0).permutation(len(drawn))[: options.records]
    observed = [drawn[number] for number in order]
    asked = lines_of(asked_rows, options.model, MAX_TOKENS, 0)
    for name, least_share in (("everything", 2.0), ("a sketch", LEAST_SHARE)):
        history = History(artifact.dimension)
        predictor = Predictor(embedder, history, load_prior(artifact))
        with patch("sagesched_predictor.sketch.LEAST_SHARE", least_share):
            figures = evaluate(predictor, [*observed, *asked], adapt=len(observed))
        print(
            f"{name:12s}tau {figures['kendall_tau']:.4f}   gain {figures['pinball_gain']:.3f}   "
            f"90 % holds {figures['coverage']['0.9']:.3f}",
            flush=True,
        )
    ring = history.ring(history.keys[0])
    found = share_found(ring, embedder.embed([row.prompt for row in asked_rows]))
    print(f"of the {NEAREST} nearest of {len(ring)} records {found:.3f} are found")


if __name__ == "__main__":
    main()
