"""When lengths drift: how soon predictions are rescaled, how soon order is given up and taken back.

    python bench/drift.py
    python bench/drift.py --model google--gemma-3-4b-it --stationary 5000

Prompts of CASTILLO, drawn with replacement with one of their recorded lengths each, go through an engine of
`--slots` places in the order of their arrival; the predictor learns from each answer as it ends, and its
predictions are judged as the gateway judges them: by the order of starts, with running answers as at least so
long as they are. Three stories, each after `--warm` requests of stationary traffic:

- doubled: from then on every answer is twice as long;
- shuffled: every answer has the length of another prompt's, until the relation is mended;
- stationary: nothing changes, and nothing must be told.
"""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from castillo import DEFAULT_MODEL, default_data_folder
from embedded_prompts import LookUp, Prompts, load_prompts, tau

from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.features import Outcome, PromptFeatures
from sagesched_predictor.head import load_prior
from sagesched_predictor.history import History
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.prior import Prior
from sagesched_predictor.training.export import export_encoder
from sagesched_predictor.trust import Trust

MAX_TOKENS = 8192
MODEL = "m"


@dataclass
class Request:
    """One request: `tokens` is the truth, `predicted` the mean as used, `inside` whether 90 % held it."""

    number: int
    features: PromptFeatures
    tokens: int
    started_at: int
    predicted: float
    inside: bool


@dataclass
class Story:
    """A run, and what was seen in it."""

    prompts: Prompts
    slots: int
    seed: int
    length_of: Callable[[Story, int, int], int]
    prior: Prior | None
    done: list[Request] = field(default_factory=list)
    told: list[tuple[int, bool, bool, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.trust = Trust()
        history = History(self.prompts.embeddings.shape[1])
        self._predictor = Predictor(LookUp(self.prompts.texts, self.prompts.embeddings), history, self.prior)
        self._running: list[tuple[int, int, Request]] = []
        self._now = 0

    def run(self, num_requests: int) -> None:
        """Let so many requests start."""
        before = (True, True)
        for number in range(num_requests):
            if len(self._running) == self.slots:
                self._finish_one()
            self._start(number)
            state = (self.trust.report.calibrated, self.trust.report.useful)
            if state != before:
                self.told.append((number, *state, self.trust.report.reason))
                before = state

    def _start(self, number: int) -> None:
        prompt = int(self.rng.integers(len(self.prompts.texts)))
        features = PromptFeatures(
            prompt=self.prompts.texts[prompt],
            prompt_tokens=int(self.prompts.prompt_tokens[prompt]),
            max_tokens=MAX_TOKENS,
            model=MODEL,
        )
        tokens = max(1, min(self.length_of(self, number, prompt), MAX_TOKENS))
        raw = self._predictor.predict([features])[0].distribution
        predicted, inside = 0.0, False
        if raw is not None:
            used = self.trust.adjusted(MODEL, raw, MAX_TOKENS)
            self.trust.started(str(number), MODEL, raw, used)
            predicted = used.mean
            inside = used.quantile(0.05) <= tokens <= used.quantile(0.95)
        request = Request(number, features, tokens, self._now, predicted, inside)
        heapq.heappush(self._running, (self._now + tokens, number, request))

    def _finish_one(self) -> None:
        self._now, _, request = heapq.heappop(self._running)
        cut = request.tokens >= MAX_TOKENS
        self._predictor.observe(request.features, Outcome(output_tokens=request.tokens, censored=cut))
        running = {str(one.number): self._now - one.started_at for _, _, one in self._running}
        self.trust.ended(str(request.number), request.tokens, censored=cut, tokens_of=running.get)
        self.done.append(request)

    def order(self, first: int, last: int) -> float:
        """Tau of what was used for the requests with these numbers."""
        chosen = [one for one in self.done if first <= one.number < last]
        return tau(np.array([one.predicted for one in chosen]), np.array([one.tokens for one in chosen]))

    def coverage(self, first: int, last: int) -> float:
        """Share of the requests with these numbers that the 90 % interval held."""
        return float(np.mean([one.inside for one in self.done if first <= one.number < last]))


def as_recorded(story: Story, number: int, prompt: int) -> int:
    return int(story.rng.choice(story.prompts.samples[prompt]))


def doubled_from(change: int) -> Callable[[Story, int, int], int]:
    return lambda story, number, prompt: as_recorded(story, number, prompt) * (2 if number >= change else 1)


def shuffled_between(first: int, last: int) -> Callable[[Story, int, int], int]:
    def length(story: Story, number: int, prompt: int) -> int:
        if first <= number < last:
            prompt = int(story.rng.integers(len(story.prompts.texts)))
        return as_recorded(story, number, prompt)

    return length


def first_told(story: Story, after: int, wanted: Callable[[bool, bool], bool]) -> str:
    for number, calibrated, useful, _ in story.told:
        if number >= after and wanted(calibrated, useful):
            return str(number - after)
    return "never"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=default_data_folder(), help="holds castillo/")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--warm", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--stationary", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=1)
    parsed = parser.parse_args(arguments)
    folder = export_encoder()
    prompts = load_prompts(parsed.data, parsed.model, folder, parsed.threads)
    prior = load_prior(EncoderArtifact.load(folder))
    warm = parsed.warm
    print(f"{parsed.model}, {parsed.slots} slots, {warm} requests before anything changes")
    for seed in range(parsed.seeds):
        story = Story(prompts, parsed.slots, seed, doubled_from(warm), prior)
        story.run(warm + 700)
        print(
            f"doubled, seed {seed}: told and rescaled after "
            f"{first_told(story, warm, lambda calibrated, _: not calibrated)} requests; 90 % intervals held "
            f"{story.coverage(warm - 300, warm):.2f} before, {story.coverage(warm, warm + 100):.2f} in the "
            f"first 100, {story.coverage(warm + 200, warm + 500):.2f} in 200 to 500; tau "
            f"{story.order(warm - 300, warm):.2f} before, {story.order(warm + 200, warm + 500):.2f} then; "
            f"order given up: {first_told(story, 0, lambda _, useful: not useful)}"
        )
    for seed in range(parsed.seeds):
        mended = warm + 800
        story = Story(prompts, parsed.slots, seed, shuffled_between(warm, mended), prior)
        story.run(mended + 900)
        print(
            f"shuffled, seed {seed}: first come, first served after "
            f"{first_told(story, warm, lambda _, useful: not useful)} requests; order back "
            f"{first_told(story, mended, lambda _, useful: useful)} requests after it is mended"
        )
    story = Story(prompts, parsed.slots, 0, as_recorded, prior)
    story.run(parsed.stationary)
    print(
        f"stationary: {len(story.told)} changes of verdict in {parsed.stationary} requests {story.told[:4]}"
    )


if __name__ == "__main__":
    main()
