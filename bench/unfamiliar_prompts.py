"""What prompts of a kind that nothing was trained on do to a cold prior, and how the mend was chosen.

    python bench/unfamiliar_prompts.py
    python bench/unfamiliar_prompts.py --model meta-llama--Llama-3.1-8B-Instruct --fold 3

CASTILLO's Alpaca and ShareGPT are never trained on; of its other sets one fold is kept out. Asked for are
cold quantiles of that fold's prompts of all sets, each model under its own name and under none, by
`familiarity.STRANGENESS`; by default for the four models and the fold that the constant was chosen on.
Printed are the share of all ten answers that the 90 % interval holds and the pinball loss, means over models;
then, as shipped and without, what predictions are off by where the cost is: sums of I*O and O^2, predicted
over true, by kind and by prompt length.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from castillo import LengthRow, default_data_folder, read_castillo
from fold_predictor import Bench
from predictor_quality import OTHER_MODELS
from unseen import LEFT_OUT

from sagesched_predictor.features import PromptFeatures
from sagesched_predictor.prior import LEVELS, to_distribution
from sagesched_predictor.request_features import request_vectors
from sagesched_predictor.training.familiarity import STRANGENESS
from sagesched_predictor.training.fitting import Fitted
from sagesched_predictor.training.held_out import fold_of
from sagesched_predictor.training.network import FloatMatrix

CHOICES = (0.0, 1.0, STRANGENESS, 2.0, 3.0)
MAX_TOKENS = 2048
LONG = 400
_LEVELS = np.array(LEVELS)
_LOW, _HIGH = LEVELS.index(0.05), LEVELS.index(0.95)


class Asked:
    """Prompts of one model and all their answers, cut at `MAX_TOKENS`."""

    def __init__(self, rows: Sequence[LengthRow], fitted: Fitted, pooled: dict[str, FloatMatrix]) -> None:
        self._fitted = fitted
        self._embeddings = fitted.embed(np.stack([pooled[row.prompt] for row in rows]))
        self.prompt_tokens = np.array([float(row.prompt_tokens) for row in rows])
        self._vectors = request_vectors(
            [
                PromptFeatures(prompt=row.prompt, prompt_tokens=row.prompt_tokens, max_tokens=MAX_TOKENS)
                for row in rows
            ]
        )
        self.answers = np.minimum([row.output_samples for row in rows], MAX_TOKENS).astype(np.float64)
        self.unfamiliar = np.array([row.dataset in LEFT_OUT for row in rows])

    def quantiles(self, model: str | None, strangeness: float) -> FloatMatrix:
        """Cold quantiles of ln tokens, cut at `MAX_TOKENS`."""
        found, _ = self._fitted.predict(self._embeddings, self._vectors, model, strangeness)
        return np.minimum(found, np.log(MAX_TOKENS))

    def coverage_and_loss(self, quantiles: FloatMatrix, chosen: np.ndarray) -> tuple[float, float]:
        """Share of the answers inside the 90 % interval, and pinball loss."""
        logs, said = np.log(self.answers[chosen])[:, :, None], quantiles[chosen][:, None]
        inside = (logs >= said[..., [_LOW]]) & (logs <= said[..., [_HIGH]] + 1e-6)
        return float(inside.mean()), float(
            np.maximum(_LEVELS * (logs - said), (_LEVELS - 1) * (logs - said)).mean()
        )

    def off_by(self, quantiles: FloatMatrix, chosen: np.ndarray) -> tuple[float, float]:
        """Predicted over true sums of I*O and of O^2."""
        said = [to_distribution(row).clipped(MAX_TOKENS) for row in quantiles[chosen]]
        mean = np.array([one.mean for one in said])
        square = np.array([float(one.tokens**2 @ one.weights) for one in said])
        true, prompt = self.answers[chosen], self.prompt_tokens[chosen]
        return (
            float(prompt @ mean / (prompt @ true.mean(axis=1))),
            float(square.sum() / (true**2).mean(axis=1).sum()),
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=default_data_folder(), help="the data pack")
    parser.add_argument("--model", nargs="+", default=OTHER_MODELS)
    parser.add_argument("--fold", type=int, default=2, help="kept out of the fit (default: %(default)s)")
    options = parser.parse_args()
    rows = {model: read_castillo(options.data, model) for model in options.model}
    bench = Bench.make(options.data, [row.prompt for found in rows.values() for row in found], threads=1)
    fitted = bench.fit(options.fold)
    asked = {
        model: Asked([row for row in found if fold_of(row.prompt) == options.fold], fitted, bench.pooled)
        for model, found in rows.items()
    }
    for title, is_known in (("model known by name", True), ("name unknown", False)):
        print(f"{title}: coverage (loss) of all, of sets trained on, of Alpaca and ShareGPT; then by model")
        for strangeness in CHOICES:
            found = []
            for model, one in asked.items():
                said = one.quantiles(f"castillo/{model}" if is_known else None, strangeness)
                groups = (np.ones_like(one.unfamiliar), ~one.unfamiliar, one.unfamiliar)
                found.append([one.coverage_and_loss(said, group) for group in groups])
            cells = "".join(f"{cover:9.3f} ({loss:.4f})" for cover, loss in np.mean(found, axis=0))
            print(
                f"  {strangeness:5.2f}{cells}   " + " ".join(f"{one[0][0]:.3f}" for one in found), flush=True
            )
    print(f"\npredicted over true, model known by name, strangeness 0 and {STRANGENESS}, mean over models")
    for kind, is_unfamiliar in (("trained on", False), ("Alpaca, ShareGPT", True)):
        for size, is_long in ((f"under {LONG} tokens", False), (f"{LONG} tokens and more", True)):
            columns = []
            for strangeness in (0.0, STRANGENESS):
                ratios = []
                for model, one in asked.items():
                    chosen = (one.unfamiliar == is_unfamiliar) & ((one.prompt_tokens >= LONG) == is_long)
                    ratios.append(one.off_by(one.quantiles(f"castillo/{model}", strangeness), chosen))
                columns.append("I*O {:.2f} O^2 {:.2f}".format(*np.mean(ratios, axis=0)))
            print(f"  {kind:18s}{size:22s}" + "   ".join(columns), flush=True)


if __name__ == "__main__":
    main()
