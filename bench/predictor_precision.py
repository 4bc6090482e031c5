"""What int8 and half precision of the encoder cost in order and sharpness, against single precision.

    python bench/predictor_precision.py

The shipped predictor on CASTILLO's prompts of the fold that it never saw, cold and after 300 others observed,
the same prompts and answers for each precision; networks in ONNX Runtime on the CPU. Beside Kendall's tau and
the pinball gain: the cosine of each prompt's vector with that in single precision.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from castillo import DEFAULT_MODEL, default_data_folder, read_castillo
from embedded_prompts import LookUp, cached_embeddings
from predictor_quality import lines_of, split

from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.evaluation import evaluate
from sagesched_predictor.head import load_prior
from sagesched_predictor.history import History
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.training.export import export_encoder
from sagesched_predictor.training.held_out import HELD_OUT_FOLD

PRECISIONS = ("fp32", "int8", "fp16")
NUM_OBSERVED = 300
MAX_TOKENS = 2048


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=default_data_folder(), help="holds castillo/")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    options = parser.parse_args()
    lines = lines_of(read_castillo(options.data, options.model), options.model, MAX_TOKENS, seed=0)
    seen, asked = split(lines, HELD_OUT_FOLD, NUM_OBSERVED)
    texts = [line.example.features.prompt for line in (*seen, *asked)]
    exact = None
    print(f"{options.model}, {len(asked)} prompts")
    for precision in PRECISIONS:
        artifact = EncoderArtifact.load(export_encoder(precision=precision))
        vectors = cached_embeddings(texts, artifact.folder, threads=1)
        exact = vectors if exact is None else exact
        cosines = np.sort((vectors * exact).sum(axis=1))
        cells = []
        for num in (0, NUM_OBSERVED):
            predictor = Predictor(LookUp(texts, vectors), History(artifact.dimension), load_prior(artifact))
            found = evaluate(predictor, [*seen, *asked] if num else asked, adapt=num)
            cells.append(f"{num} observed: tau {found['kendall_tau']:.3f}, gain {found['pinball_gain']:.3f}")
        print(
            f"  {precision}: {'; '.join(cells)}; cosine median {np.median(cosines):.4f}, "
            f"lowest 1 % {cosines[len(cosines) // 100]:.4f}, lowest {cosines[0]:.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
