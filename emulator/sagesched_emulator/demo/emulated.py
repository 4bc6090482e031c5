"""The demo's own stand: real prompts or generated ones, to a real Triton with an emulated engine inside.

The true output lengths go from the trace to the engine by a file of answers; client and gateway never see
them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from sagesched_emulator.answers import write_answers
from sagesched_emulator.dataset import read_dataset
from sagesched_emulator.demo.emulated_triton import EmulatedTriton
from sagesched_emulator.demo.gateway_process import Prediction
from sagesched_emulator.demo.options import Options
from sagesched_emulator.demo.progress import Progress
from sagesched_emulator.demo.scenario import Scenario, client_view
from sagesched_emulator.demo.selection import Selection, select
from sagesched_emulator.demo.stand import Stand
from sagesched_emulator.demo.trial import TrialPlan
from sagesched_emulator.demo.warmup import find_encoder, warm_history
from sagesched_emulator.profiles import profile
from sagesched_emulator.trace import Trace, draw_trace
from sagesched_emulator.workload import generate

COPIES = 1.25
"""Generated prompts come in copies, which selection drops; so many more are made."""

DRAIN_ENGINE_S = 600.0
"""Engine seconds that the last answers may take after the last arrival before a run is given up."""


def emulated_scenario(options: Options, folder: Path, progress: Progress) -> Scenario:
    """Choose, draw and warm.

    Args:
        options: the user's.
        folder: where answers, history and logs go; must exist.
        progress: told what happens.

    Raises:
        DatasetError: the dataset cannot be used.
        StartError: encoder or history cannot be had.
    """
    progress.stage("choosing prompts")
    selection = _selection(options)
    engine = profile(options.profile)
    trace = draw_trace(
        selection.measured,
        profile=engine,
        rho=options.load,
        num_requests=options.requests_to_send,
        seed=options.seed,
    )
    answers = folder / "answers.jsonl"
    write_answers(answers, trace)
    progress.stage("finding the encoder")
    encoder = find_encoder()
    progress.stage(f"warming the predictor on {len(selection.warm)} other prompts")
    history = warm_history(selection.warm, encoder, folder, model=options.model, seed=options.seed)
    plan = TrialPlan(
        requests=client_view(trace.requests),
        stand=_stand(options, answers),
        prediction=Prediction(encoder=encoder, history=history),
        model=options.model,
        folder=folder,
        timeout_s=trace.span_s + DRAIN_ENGINE_S,
    )
    return Scenario(
        plan=plan,
        trace=_described(options, trace, selection),
        subtitle=(
            f"{len(trace.requests)} {'generated prompts' if options.dataset is None else 'real prompts'} "
            f"in {trace.span_s:.0f} s, load {trace.rho:.2f}, engine {options.profile}, seed {options.seed}"
        ),
        notes=(selection.note,) if selection.note else (),
        drawn=trace,
    )


def _selection(options: Options) -> Selection:
    num_requests = options.requests_to_send
    if options.dataset is None:
        records = generate(round(COPIES * (num_requests + options.num_warm)), options.seed)
    else:
        records = read_dataset(options.dataset)
    return select(
        records,
        num_requests=num_requests,
        seed=options.seed,
        max_warm=options.num_warm,
        prefer=options.prefer,
    )


def _stand(options: Options, answers: Path) -> Callable[[float, Path], Stand]:
    def make(time_scale: float, folder: Path) -> Stand:
        return EmulatedTriton(
            profile=options.profile,
            time_scale=time_scale,
            stream_interval=options.stream_interval,
            answers=answers,
            model=options.model,
            folder=folder,
        )

    return make


def _described(options: Options, trace: Trace, selection: Selection) -> dict[str, object]:
    lengths = np.array([request.output_tokens for request in trace.requests])
    prompts = np.array([request.prompt_tokens for request in trace.requests])
    return {
        "source": "generated" if options.dataset is None else options.dataset.name,
        "num_requests": len(trace.requests),
        "rho": round(trace.rho, 4),
        "seed": trace.seed,
        "span_s": round(trace.span_s, 3),
        "profile": options.profile,
        "stream_interval": options.stream_interval,
        "mean_prompt_tokens": round(float(prompts.mean()), 1),
        "mean_output_tokens": round(float(lengths.mean()), 1),
        "p99_output_tokens": round(float(np.quantile(lengths, 0.99)), 1),
        "warm_prompts": len(selection.warm),
    }
