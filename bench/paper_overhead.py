"""Prediction and order per request, for 1 to 64 nodes with 1,000 queued on each.

    python bench/paper_overhead.py

The claim is SageSched's (arXiv 2603.07917): one scheduler for all, 8 requests/s and at most 1,000 queued per
node; latency grows linearly with the nodes, to about 100 ms per request at 64. Here each pod has a gateway of
its own, so that a request costs what one node's queue costs, however many there are. For comparison, what one
queue of all nodes' requests would cost in the same core: its order, not its predictions, which one process
could not make for 512 requests/s. CPU time, medians, one thread of this machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from core_speed import Bench
from paper import machine, say
from predictor_latency import Switched, a_full_predictor, timed

from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.encoder import Encoder, EncoderOptions
from sagesched_predictor.features import PromptFeatures
from sagesched_predictor.training.export import export_encoder

NODES = (1, 4, 16, 64)
QUEUED_PER_NODE = 1_000
REQUESTS_PER_S = 8
CLAIMED_MS = 100.0
PROMPT = " ".join(["network"] * 126)
"""128 tokens, with the two that open and close it."""


def prediction_ms(rounds: int) -> float:
    """CPU of a whole prediction: tokens, encoder, search over 10,000 records, heads."""
    artifact = EncoderArtifact.load(export_encoder(precision="int8"))
    embedder = Switched(artifact.dimension)
    predictor = a_full_predictor(embedder, artifact, 10_000)
    embedder.encoder = Encoder(artifact, EncoderOptions(threads=1))
    numbers = iter(range(10**9))

    def predict() -> None:
        predictor.predict([PromptFeatures(prompt=f"{next(numbers)} {PROMPT}", prompt_tokens=128)])

    return timed(predict, 1, rounds).cpu_median


def order_ms(policy: str, num_queued: int, chunks: int) -> float:
    """CPU of submit, prediction, start and finish in the core."""
    return Bench(policy, num_queued, seed=0).measure(chunks).request_s * 1e3


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=50, help="predictions timed (default: %(default)s)")
    parser.add_argument("--chunks", type=int, default=21, help="of 100 requests each (default: %(default)s)")
    options = parser.parse_args(arguments)
    predicted = prediction_ms(options.rounds)
    orders = [order_ms("sagesched", nodes * QUEUED_PER_NODE, options.chunks) for nodes in NODES]
    own = predicted + orders[0]
    lines = [f"{'nodes':>6} {'requests/s':>11} {'a gateway per pod':>20} {'order in one queue of all':>28}"]
    for nodes, order in zip(NODES, orders, strict=True):
        lines.append(f"{nodes:6} {nodes * REQUESTS_PER_S:11} {own:17.2f} ms {order * 1e3:25.0f} us")
    say(
        "prediction and scheduling take about 100 ms per request with 64 nodes of 1,000 queued, growing "
        "linearly",
        f"{machine()}, sagesched, prompts of 128 tokens, 10,000 records, 64-atom distributions",
        f"{own:.1f} ms, {CLAIMED_MS / own:.0f} times less, on any number of nodes, since each pod predicts "
        f"and orders what is its own; {predicted:.1f} of them are the prediction. In one queue of all "
        f"{orders[-1] * 1e3:.0f} us would be order, {orders[-1] / orders[0]:.2f} times as much as in a pod's",
        lines,
    )


if __name__ == "__main__":
    main()
