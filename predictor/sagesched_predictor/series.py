"""`Series`: all that is known of one model and sampling regime, and what it makes of a prompt.

Up to four sources speak for a prompt, each in quantiles of ln(output tokens) at `LEVELS`: the learned prior,
the online head, the nearest past prompts, and the lengths of all answers. `blend.py` weighs them, prompts
that are new apart from those that came before, whose own answers are among the nearest. Where the very same
prompt came before, its earlier answers correct what comes of that (`repeated.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sagesched_predictor.blend import HEAD_SHARE, POOL_RECORDS, PRIOR_RECORDS, SOURCES, Blend, weights_of
from sagesched_predictor.features import Outcome
from sagesched_predictor.history import Neighbourhood, nearest
from sagesched_predictor.kernel import kernel_weights
from sagesched_predictor.online_head import MIN_RECORDS, Answers, OnlineHead
from sagesched_predictor.pool import MIN_LENGTHS, PoolLengths
from sagesched_predictor.prior import LEVELS
from sagesched_predictor.repeated import NONE_EARLIER, Earlier, Repeats
from sagesched_predictor.ring import Ring
from sagesched_predictor.same_prompt import are_same
from sagesched_predictor.survival import product_limit, quantiles

FloatMatrix = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]

# The head is fitted again when this share of its records is new, and at least so many.
REFIT_SHARE = 1 / 16
REFIT_RECORDS = 8
# A fit to so few takes some 15 ms and need not be done elsewhere; predictions then follow from what was told.
FIT_AT_ONCE = 256
# From this share on, the next answer's mean is more theirs than that of prompts like it.
MOSTLY = 0.5
_LEVELS = np.array(LEVELS)
_PRIOR, _HEAD, _HISTORY, _POOL = range(len(SOURCES))
# Where the median stands among them.
MIDDLE = LEVELS.index(0.5)


class Fit(Protocol):
    """A head in the making, somewhere; a future is one."""

    def done(self) -> bool:
        """Whether `result` is there."""

    def result(self) -> OnlineHead:
        """The head; raises what the fit raised."""


StartFit = Callable[[Callable[[], OnlineHead]], Fit]


class FittedHere:
    """A fit that is done at once."""

    def __init__(self, fit: Callable[[], OnlineHead]) -> None:
        """Fit now."""
        self._head = fit()

    def done(self) -> bool:
        """It is."""
        return True

    def result(self) -> OnlineHead:
        """The head."""
        return self._head


@dataclass(frozen=True, slots=True)
class Compared:
    """How a prompt compares with the past, where that is known together with its embedding.

    Attributes:
        found: the nearest records.
        head: whose exponentials came with that.
        vector: the request vector that went with them, float32 (1, features).
        said: what they say, float32 (1, 2); see `OnlineHead.quantiles`.
    """

    found: Neighbourhood
    head: OnlineHead
    vector: FloatMatrix
    said: FloatMatrix

    def said_by(self, head: OnlineHead, vector: FloatMatrix) -> FloatMatrix | None:
        """What this head says of this request; None where it was another head or request."""
        return self.said if head is self.head and np.array_equal(vector, self.vector) else None


@dataclass(frozen=True, slots=True)
class Prompts:
    """Prompts of one series, as the sources see them.

    Attributes:
        embeddings: unit vectors, float32 (n, dimension).
        vectors: request vectors, float32 (n, features).
        prompt_tokens: shape (n,).
        prior: quantiles of ln(output tokens) that the prior gives, (n, levels); None without one.
        compared: how each compares with the past, None where that is to be found out; empty if all are.
    """

    embeddings: FloatMatrix
    vectors: FloatMatrix
    prompt_tokens: npt.NDArray[np.int64]
    prior: FloatMatrix | None
    compared: Sequence[Compared | None] = ()

    def one(self, row: int) -> Prompts:
        """The prompt of one row."""
        at = slice(row, row + 1)
        prior = None if self.prior is None else self.prior[at]
        return Prompts(
            self.embeddings[at], self.vectors[at], self.prompt_tokens[at], prior, self.compared[at]
        )

    def offsets(self) -> FloatArray:
        """The prior's medians, shape (n,); zeros without one."""
        if self.prior is None:
            return np.zeros(len(self.embeddings))
        return self.prior[:, MIDDLE].astype(np.float64)


@dataclass(frozen=True, slots=True)
class Opinions:
    """What the sources say of one prompt.

    Attributes:
        quantiles: (sources, levels); rows of silent sources are zero.
        sizes: what each rests on, in records, shape (sources,); 0 where it is silent.
        neighbours: records that are as similar as a neighbour must be.
        earlier: answers to the same prompt.
    """

    quantiles: FloatArray
    sizes: FloatArray
    neighbours: int
    earlier: Earlier = NONE_EARLIER


class Series:
    """Records, head, pool and blends of one series.

    Attributes:
        ring: the records.
        min_similarity: cosine from which a record is told as a neighbour.
        repeats: weighs earlier answers to the same prompt.
        pool: lengths of all answers.
    """

    def __init__(self, ring: Ring, min_similarity: float, start_fit: StartFit = FittedHere) -> None:
        """Go on from the records and lessons in `ring`."""
        self.ring = ring
        self.min_similarity = min_similarity
        self._start_fit = start_fit
        self._head: OnlineHead | None = None
        self._fit: Fit | None = None
        self._fitted_at = 0
        self._of_new, self._of_known = (Blend(LEVELS, merits) for merits in ring.lessons.merits)
        self.repeats = Repeats(LEVELS, ring.lessons.repeats)
        self.pool = PoolLengths()
        order = ring.by_age()
        for tokens, censored in zip(ring.output_tokens[order], ring.censored[order], strict=True):
            self.pool.observe(int(tokens), bool(censored))
        self._refit()

    def __len__(self) -> int:
        return len(self.ring)

    @property
    def head(self) -> OnlineHead | None:
        """The newest head that is ready."""
        self._take_over_fit()
        return self._head

    def opinions(self, prompts: Prompts) -> list[Opinions]:
        """What the sources say, one for each prompt."""
        self._take_over_fit()
        # One by one: a product of one row and of several differ in their last bits, and equal prompts must
        # have equal predictions, or chance would decide their order instead of their arrival.
        return [self._opinions(prompts.one(row)) for row in range(len(prompts.embeddings))]

    def _opinions(self, prompt: Prompts) -> Opinions:
        said, sizes = _of_prior_and_pool(prompt, self.pool)
        num_records, num_near, earlier = len(self.ring), 0, NONE_EARLIER
        compared = prompt.compared[0] if prompt.compared else None
        if self._head is not None:
            said[:, _HEAD] = _of_head(self._head, prompt, compared)
            sizes[0, _HEAD] = HEAD_SHARE * num_records
        if np.count_nonzero(~self.ring.censored) >= MIN_LENGTHS:
            found = compared.found if compared is not None else self._nearest(prompt)
            said[0, _HISTORY] = _spoken(found, int(prompt.prompt_tokens[0]))
            sizes[0, _HISTORY] = (1 - HEAD_SHARE) * num_records
            num_near = found.num_near
            earlier = _of_the_same(found, int(prompt.prompt_tokens[0]))
        return Opinions(said[0], sizes[0], num_near, earlier)

    def _nearest(self, prompt: Prompts) -> Neighbourhood:
        (found,) = nearest(self.ring, prompt.embeddings, self.min_similarity)
        return found

    def quantiles(self, opinions: Opinions) -> FloatArray:
        """What comes of the opinions, (levels,); at least one source must have spoken."""
        blended = self._blend(opinions).combine(opinions.quantiles, opinions.sizes)
        return self.repeats.corrected(blended, opinions.earlier)

    def main_source(self, opinions: Opinions) -> str:
        """The source that counts most, by name; `none` where all are silent."""
        if not opinions.sizes.any():
            return "none"
        if self.repeats.gain(opinions.earlier.log_tokens.size) > MOSTLY:
            return SOURCES[_HISTORY]
        return SOURCES[int(np.argmax(weights_of(opinions.sizes, self._blend(opinions).merits)))]

    def observe(self, prompts: Prompts, outcome: Outcome, recorded_at: float) -> None:
        """Learn from one answer, `prompts` being its one prompt; judged before it is added."""
        log_tokens = float(np.log(max(outcome.output_tokens, 1)))
        (opinions,) = self.opinions(prompts)
        if opinions.sizes.any():
            blend = self._blend(opinions)
            blended = blend.combine(opinions.quantiles, opinions.sizes)
            answer = Earlier(np.array([log_tokens]), np.array([outcome.censored]))
            self.repeats.learn(blended, opinions.earlier, answer)
            blend.learn(opinions.quantiles, opinions.sizes, log_tokens, outcome.censored)
        self.ring.append(
            prompts.embeddings[0],
            prompts.vectors[0],
            output_tokens=outcome.output_tokens,
            prompt_tokens=int(prompts.prompt_tokens[0]),
            censored=outcome.censored,
            offset=float(prompts.offsets()[0]),
            recorded_at=recorded_at,
        )
        self.observe_length(outcome)
        self._refit()

    def observe_length(self, outcome: Outcome) -> None:
        """Record the length for the pool only, without the prompt."""
        self.pool.observe(outcome.output_tokens, outcome.censored)

    def _blend(self, opinions: Opinions) -> Blend:
        return self._of_known if opinions.earlier.log_tokens.size else self._of_new

    def _refit(self) -> None:
        """Fit the head again if it is time and no fit is under way."""
        self._take_over_fit()
        num_new = self.ring.num_appended - self._fitted_at
        if self._fit is not None or num_new < max(REFIT_RECORDS, REFIT_SHARE * len(self.ring)):
            return
        order = self.ring.by_age()
        censored = self.ring.censored[order]
        if np.count_nonzero(~censored) < MIN_RECORDS:
            return
        answers = Answers(
            embeddings=self.ring.embeddings[order],
            vectors=self.ring.vectors[order],
            log_tokens=np.log(np.maximum(self.ring.output_tokens[order], 1)),
            censored=censored,
            offsets=self.ring.offsets[order],
            prompt_tokens=self.ring.prompt_tokens[order],
        )
        self._fitted_at = self.ring.num_appended
        start = FittedHere if len(self.ring) <= FIT_AT_ONCE else self._start_fit
        seed = self._fitted_at
        self._fit = start(lambda: OnlineHead(answers, LEVELS, seed=seed))
        self._take_over_fit()

    def _take_over_fit(self) -> None:
        if self._fit is None or not self._fit.done():
            return
        head, self._fit = self._fit.result(), None
        if np.isfinite(head.standard_quantiles).all():
            self._head = head


def first_opinions(prompts: Prompts, pool: PoolLengths) -> list[Opinions]:
    """What is said where a series has no records: by the prior, and by other answers of the model."""
    return [Opinions(*one, 0) for one in zip(*_of_prior_and_pool(prompts, pool), strict=True)]


def _of_prior_and_pool(prompts: Prompts, pool: PoolLengths) -> tuple[FloatArray, FloatArray]:
    """Quantiles (n, sources, levels) and sizes (n, sources), those of the other sources left at zero."""
    said = np.zeros((len(prompts.embeddings), len(SOURCES), len(LEVELS)))
    sizes = np.zeros(said.shape[:2])
    if prompts.prior is not None:
        said[:, _PRIOR], sizes[:, _PRIOR] = prompts.prior, PRIOR_RECORDS
    of_pool = pool.log_quantiles()
    if of_pool is not None:
        said[:, _POOL] = of_pool
        sizes[:, _POOL] = POOL_RECORDS
    return said, sizes


def _of_head(head: OnlineHead, prompt: Prompts, compared: Compared | None) -> FloatArray:
    """Quantiles of ln(output tokens) that a head gives for one prompt, (1, levels)."""
    said = None if compared is None else compared.said_by(head, prompt.vectors)
    if said is None:
        return head.predict(prompt.embeddings, prompt.vectors, prompt.offsets())
    return head.quantiles(said, prompt.offsets())


def _of_the_same(found: Neighbourhood, prompt_tokens: int) -> Earlier:
    """Answers to the same prompt."""
    rows = are_same(found.similarities, found.prompt_tokens, prompt_tokens)
    if not rows.any():
        return NONE_EARLIER
    return Earlier(np.log(np.maximum(found.output_tokens[rows], 1)), found.censored[rows])


def _spoken(found: Neighbourhood, prompt_tokens: int) -> FloatArray:
    """Quantiles of ln(output tokens) of similar prompts, (levels,)."""
    gaps = np.log(np.maximum(found.prompt_tokens, 1) / max(prompt_tokens, 1))
    weights = kernel_weights(found.similarities, gaps)
    logs = np.log(np.maximum(found.output_tokens, 1))
    return quantiles(*product_limit(logs, found.censored, weights), _LEVELS)
