"""Why prompt length alone is hard to beat: who finds the most expensive requests, and where predictions err.

    python bench/where_the_cost_is.py --adapt 300

CASTILLO, prompts of the fold that the shipped predictor was not trained on, all six sets, one recorded answer
each, drawn by the trace; the predictor has observed `--adapt` of the others, of all six sets too unless
`--strange` leaves out the two sets that it was never trained on, and learns nothing more. Cost is
C = O^2/2 + I*O. Printed:

- the share of all cost that the dearest 5, 10 and 20 % hold, chosen by prompt tokens, by the index and the
  mean of the predicted cost, and by the truth;
- predicted over true, by prompt length: the sums of I*O and of O^2;
- mean TTLT to `fcfs` and the engine's pauses: `wspt`; `sagesched` by predictions, and by nine other answers.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
from castillo import DEFAULT_MODEL, castillo_records, default_data_folder, read_castillo
from embedded_prompts import LookUp, load_prompts
from predictor_replay import Frozen
from unseen import LEFT_OUT

from sagesched_emulator.profiles import profile
from sagesched_emulator.trace import draw_trace
from sagesched_gateway.scheduling.cost import kv_token_steps
from sagesched_gateway.scheduling.gittins import gittins_index
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.head import load_prior
from sagesched_predictor.history import History
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.training.export import export_encoder
from sagesched_predictor.training.held_out import HELD_OUT_FOLD, fold_of
from sagesched_replay.adaptation import set_apart
from sagesched_replay.knowledge import Ignorance, OtherAnswers, observe_records
from sagesched_replay.replay import ReplaySettings, replay
from sagesched_replay.report import run_figures

SHARES = (0.05, 0.1, 0.2)
LENGTHS = (0, 60, 120, 400, 10**6)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=default_data_folder(), help="the data pack")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--adapt", type=int, default=300)
    parser.add_argument("--strange", action="store_true", help="observe only sets that were trained on")
    parser.add_argument("--rho", type=float, default=1.05)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    records = castillo_records(read_castillo(options.data, options.model), options.model, seed=0)
    folder = export_encoder()
    artifact, prompts = EncoderArtifact.load(folder), load_prompts(options.data, options.model, folder, 1)
    embedder = LookUp(prompts.texts, prompts.embeddings)
    predictor = Predictor(embedder, History(artifact.dimension), load_prior(artifact))
    is_replayed = [fold_of(record.prompt) == HELD_OUT_FOLD for record in records]
    others = [
        record
        for record, is_asked in zip(records, is_replayed, strict=True)
        if not is_asked and not (options.strange and record.dataset in LEFT_OUT)
    ]
    observed = set_apart(others, options.adapt, options.seed)[1]
    observe_records(predictor, observed, seed=options.seed, model=options.model)
    engine = profile("kv-bound")
    replayed = [record for record, is_asked in zip(records, is_replayed, strict=True) if is_asked]
    trace = draw_trace(
        replayed,
        profile=engine,
        rho=options.rho,
        num_requests=options.requests,
        seed=options.seed,
        repeats=True,
    )
    knowledge = Frozen(predictor, options.model)

    prompt = np.array([float(request.prompt_tokens) for request in trace.requests])
    output = np.array([float(request.output_tokens) for request in trace.requests])
    said = [found for request in trace.requests if (found := knowledge.predict(request)) is not None]
    assert len(said) == len(prompt), "the shipped predictor always has something to say"
    costs = [kv_token_steps(p, found.tokens) for p, found in zip(prompt, said, strict=True)]
    true_cost = np.array([kv_token_steps(p, np.array([o]))[0] for p, o in zip(prompt, output, strict=True)])
    keys = {
        "prompt tokens": prompt,
        "index": np.array([gittins_index(c, found.weights) for c, found in zip(costs, said, strict=True)]),
        "mean cost": np.array([float(c @ found.weights) for c, found in zip(costs, said, strict=True)]),
        "truth": true_cost,
    }
    print("share of all cost in the dearest " + ", ".join(f"{share:.0%}" for share in SHARES))
    for name, key in keys.items():
        dearest = np.argsort(-key, kind="stable")
        held = [true_cost[dearest[: int(share * len(key))]].sum() / true_cost.sum() for share in SHARES]
        print(f"  {name:16s}" + "".join(f"{share:8.3f}" for share in held))
    mean = np.array([found.mean for found in said])
    square = np.array([float(found.tokens**2 @ found.weights) for found in said])
    print(
        f"predicted over true: O {mean.sum() / output.sum():.2f}, O^2 {square.sum() / (output**2).sum():.2f}"
    )
    for low, high in pairwise(LENGTHS):
        rows = (prompt >= low) & (prompt < high)
        print(
            f"  prompts of {low} to {high} tokens: {rows.sum()} requests, "
            f"{true_cost[rows].sum() / true_cost.sum():.3f} of the cost, "
            f"I*O {(prompt * mean)[rows].sum() / (prompt * output)[rows].sum():.2f}, "
            f"O^2 {square[rows].sum() / (output**2)[rows].sum():.2f}"
        )
    base = 0.0
    for title, name, told in (
        ("fcfs", "fcfs", Ignorance()),
        ("wspt", "wspt", Ignorance()),
        ("sagesched, predicted", "sagesched", knowledge),
        ("sagesched, nine other answers known", "sagesched", OtherAnswers()),
    ):
        run = run_figures(replay(trace, engine, ReplaySettings(policy=PolicySettings(name=name)), told))
        base = base or run.mean_ttlt_s
        print(f"{title}: {run.mean_ttlt_s / base:.3f} of fcfs, {run.evictions} pauses")


if __name__ == "__main__":
    main()
