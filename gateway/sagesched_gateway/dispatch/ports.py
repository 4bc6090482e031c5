"""What dispatch needs from the outside, as protocols: Triton, the predictor, telemetry.

dispatch imports neither `api` nor `triton`; `triton` implements `Upstream` and `EngineProbe`, `metrics.py`
implements `Telemetry`, `prediction.py` implements `LengthPredictor`. Tests bring in-process fakes of the same
protocols.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sagesched_gateway.kserve import ModelInferRequest, ModelMetadataResponse
from sagesched_gateway.request import Attributes, Chunk, GenerationRequest, Metadata
from sagesched_gateway.scheduling.capacity import KvPolicy
from sagesched_gateway.scheduling.snapshot import TenantState
from sagesched_gateway.text import Sampling, TextReader
from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.features import Outcome, PromptFeatures
from sagesched_predictor.trust import TrustReport


class UpstreamCall(Protocol):
    """One running request in the engine."""

    def __aiter__(self) -> AsyncIterator[Chunk]:
        """Yield chunks until the engine has ended the request; the last one has `final` set, always."""
        ...

    async def cancel(self) -> None:
        """Really stop the request in the engine; its end still comes through the iteration."""
        ...


class Upstream(Protocol):
    """Triton, as dispatch sees it."""

    def is_generation(self, model_name: str) -> bool:
        """Whether a profile is known for the model; answers from what is cached."""
        ...

    def is_decoupled(self, model_name: str) -> bool:
        """Whether the model answers with any number of responses (then it has no unary ModelInfer)."""
        ...

    async def resolve(self, model_name: str) -> bool:
        """Look the model up when it is not cached, then answer as `is_generation`.

        Raises:
            UpstreamUnavailableError: the model is not cached and Triton cannot be asked.
        """
        ...

    async def metadata(self, model_name: str) -> ModelMetadataResponse:
        """The model's tensors, cached.

        Raises:
            UpstreamError: Triton does not know the model.
            UpstreamUnavailableError: Triton cannot be asked.
        """
        ...

    def read(
        self, message: ModelInferRequest, body: bytes, upstream_id: str, metadata: Metadata
    ) -> GenerationRequest:
        """Translate a caller's message once; `body` is the same message, serialized.

        Raises:
            InvalidRequestError: it lacks what the model needs.
        """
        ...

    def text_outputs(self, model_name: str) -> frozenset[str]:
        """Names of the model's outputs that are text, from what is cached."""
        ...

    def text_models(self) -> tuple[str, ...]:
        """Names of the models that take a prompt as text, from what is cached; the preferred ones first."""
        ...

    def compose(self, model: str, prompt: str, sampling: Sampling) -> ModelInferRequest:
        """A message to a text model, as a client of its kind would write it; counts are asked for.

        Raises:
            UnknownModelError: no such text model.
            UnsupportedError: the model's kind cannot do what is asked.
        """
        ...

    def text_reader(self, model: str) -> TextReader:
        """Reads the responses to what `compose` made; raises UnknownModelError."""
        ...

    def open(self, request: GenerationRequest) -> UpstreamCall:
        """Send the request to Triton; nothing is awaited before the first iteration."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """What the engine's configuration tells; None where it does not.

    Attributes:
        slots: places in the running batch.
        kv_tokens: most tokens the KV pool is configured to hold.
        kv_policy: how blocks are reserved.
        max_num_tokens: tokens per iteration.
        splits_prompts: a longer prompt is read in several iterations.
        most_at_once: requests that what stands before the engine passes on at once.
    """

    slots: int | None = None
    kv_tokens: int | None = None
    kv_policy: KvPolicy | None = None
    max_num_tokens: int | None = None
    splits_prompts: bool = False
    most_at_once: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineGauges:
    """What the engine's metrics tell at one instant; None where they do not.

    Attributes:
        max_requests: most requests that can be active (`request_type="max"`).
        active: requests inside the engine.
        scheduled: requests in the last iteration.
        waiting: active but not scheduled.
        paused: evicted, to be resumed.
        kv_blocks: size of the KV pool in blocks.
        used_blocks: of these in use.
        block_tokens: tokens per block.
        iteration: iteration counter.
    """

    max_requests: int | None = None
    active: int | None = None
    scheduled: int | None = None
    waiting: int | None = None
    paused: int | None = None
    kv_blocks: int | None = None
    used_blocks: int | None = None
    block_tokens: int | None = None
    iteration: int | None = None


class EngineProbe(Protocol):
    """Reads the engine's limits and gauges."""

    async def limits(self) -> EngineLimits:
        """Ask the model's configuration; raises UpstreamUnavailableError where Triton cannot be asked."""
        ...

    async def gauges(self) -> EngineGauges | None:
        """Read the metrics; None where they cannot be read just now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """An answer of the predictor.

    Attributes:
        distribution: output length, or None where nothing is known yet.
        source: what counts most in it: `prior`, `head`, `history`, `pool` or `none`.
        neighbours: how many past requests it rests on.
        seconds: time from question to answer.
    """

    distribution: LengthDistribution | None
    source: str
    neighbours: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorState:
    """The predictor as `/status` shows it.

    Attributes:
        mode: as configured.
        state: `starting`, `ready`, `restarting` or `off`.
        provider: ONNX Runtime's execution provider in use, or None.
        fallback: why another provider than the asked one is used, or None.
        history: records in the history when it was last told.
        restarts: how often the process was started again.
        problem: what it last had to do without, for example a history file; empty where nothing.
    """

    mode: str
    state: str
    provider: str | None = None
    fallback: str | None = None
    history: int = 0
    restarts: int = 0
    problem: str = ""


class PredictionListener(Protocol):
    """Takes what the predictor says, on the event loop; must not wait and must not raise."""

    def predicted(self, request_id: str, prediction: Prediction) -> None:
        """The answer to `LengthPredictor.predict`, possibly after its deadline."""
        ...

    def pool_changed(self, distribution: LengthDistribution) -> None:
        """The distribution of all observed lengths, for requests without a prediction."""
        ...

    def prediction_failed(self, request_id: str, reason: str) -> None:
        """A prediction will not come (or not in time): `timeout`, `error`, `down` or `overload`."""
        ...


class LengthPredictor(Protocol):
    """Predicts output lengths; no call waits, none raises.

    Attributes:
        is_on: whether each question is answered, if only by `prediction_failed`.
    """

    is_on: bool

    def listen(self, listener: PredictionListener) -> None:
        """Name the one who gets the answers; called once, before anything is asked."""
        ...

    def predict(self, request_id: str, features: PromptFeatures) -> None:
        """Ask; the answer goes to the listener."""
        ...

    def observe(self, request_id: str, features: PromptFeatures, outcome: Outcome) -> None:
        """Tell what happened to a request."""
        ...

    def state(self) -> PredictorState:
        """How the predictor is."""
        ...


class Telemetry(Protocol):
    """What dispatch tells the metrics; calls must be cheap and must not raise."""

    def request_received(self, model: str) -> None:
        """A generation request came in and was taken."""

    def request_refused(self, word: str) -> None:
        """One was refused at the door; `word` is that of its error."""

    def request_started(self, queue_s: float) -> None:
        """It was sent to the engine after `queue_s` seconds of waiting."""

    def first_token(self, ttft_s: float) -> None:
        """Its first token came, `ttft_s` seconds after arrival."""

    def request_finished(self, outcome: str, ttlt_s: float, output_tokens: int) -> None:
        """It ended: `completed`, `cancelled`, or the word of the error; `ttlt_s` seconds after arrival."""

    def responses_sent(self, responses: int) -> None:
        """So many responses of a request that has ended were handed to its caller."""

    def prediction_done(self, source: str, seconds: float) -> None:
        """The predictor answered."""

    def prediction_failed(self, reason: str) -> None:
        """No prediction: `timeout`, `error`, `down` or `overload`."""

    def rekeyed(self) -> None:
        """The waiting requests were put into a new order because the tail rate moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One request, when it is over.

    Attributes:
        id: the caller's id; may be empty.
        model: the model's name.
        attributes: as believed.
        prompt: its text; empty where the caller sent tokens. Of a chat what was said, without the template.
        features: what else the predictor saw of it; None where it was not submitted.
        prompt_tokens: its length as counted here.
        max_tokens: the cap on output.
        arrival_unix_s: when it came, Unix seconds.
        queue_s: seconds it waited; None where it was never started.
        ttft_s: seconds from arrival to the first token; None without one.
        ttlt_s: seconds from arrival to its end.
        output_tokens: tokens generated.
        outcome: `completed`, `cancelled`, or the word of its error.
        policy: in effect at its end.
        evictions: how often it was taken back and begun anew.
    """

    id: str
    model: str
    attributes: Attributes
    prompt: str
    features: PromptFeatures | None = None
    prompt_tokens: int
    max_tokens: int
    arrival_unix_s: float
    queue_s: float | None
    ttft_s: float | None
    ttlt_s: float
    output_tokens: int
    outcome: str
    policy: str
    evictions: int = 0


class Recorder(Protocol):
    """Keeps what happened; the call must be cheap and must not raise."""

    def record(self, record: RequestRecord) -> None:
        """A request is over."""


class NoRecorder:
    """Keeps nothing."""

    def record(self, record: RequestRecord) -> None:
        """Do nothing."""


class RequestTrace(Protocol):
    """The trace of one request."""

    def end(self, record: RequestRecord, predicted: LengthDistribution | None) -> None:
        """It is over; what was predicted of it, if anything."""


class Tracing(Protocol):
    """Makes traces; the call must be cheap and must not raise."""

    def begin(self, request: GenerationRequest, age_s: float, *, is_chat: bool) -> RequestTrace | None:
        """A request has come, `age_s` seconds ago: its trace, or None where it is not traced.

        Its prompt was a chat's or a text's.

        Of one that is traced the metadata for Triton is changed: the trace goes on there.
        """


class NoTracing:
    """Traces nothing."""

    def begin(self, request: GenerationRequest, age_s: float, *, is_chat: bool) -> RequestTrace | None:
        """Do nothing."""
        return None


class SilentTelemetry:
    """Telemetry that tells nobody; for tests and tools."""

    def request_received(self, model: str) -> None:
        """Do nothing."""

    def request_refused(self, word: str) -> None:
        """Do nothing."""

    def request_started(self, queue_s: float) -> None:
        """Do nothing."""

    def first_token(self, ttft_s: float) -> None:
        """Do nothing."""

    def request_finished(self, outcome: str, ttlt_s: float, output_tokens: int) -> None:
        """Do nothing."""

    def responses_sent(self, responses: int) -> None:
        """Do nothing."""

    def prediction_done(self, source: str, seconds: float) -> None:
        """Do nothing."""

    def prediction_failed(self, reason: str) -> None:
        """Do nothing."""

    def rekeyed(self) -> None:
        """Do nothing."""


class Readiness(Protocol):
    """Whether this gateway should be given work; one object, asked by both faces."""

    @property
    def is_ready(self) -> bool:
        """Triton was ready when last asked (about a second ago) and the gateway is not draining."""
        ...

    @property
    def is_draining(self) -> bool:
        """Shutting down: finish what is here, take nothing new."""
        ...

    @property
    def reason(self) -> str:
        """Why it is not ready, one sentence; empty when ready."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchSnapshot:
    """The state of dispatch at one instant, for `/status` and the metrics.

    Attributes:
        queued: requests waiting here.
        queued_bytes: their messages together.
        in_flight: requests sent to the engine and not ended by it.
        policy: name of the policy in effect.
        policy_note: why the policy cannot work on this engine as it should; empty where it can.
        backlog_s: predicted service seconds of everything waiting.
        time_to_start_all_s: predicted seconds until all of it has started, as the queue really shortens.
        oldest_wait_s: since the earliest of the waiting arrived; 0 when nothing waits.
        gamma: tail rate in effect (1/s); None where the policy has none.
        slots: places in the engine's running batch.
        kv_blocks_reserved: blocks that the ledger counts for what is in flight.
        kv_blocks: size of the engine's KV pool; None where unknown.
        kv_blocks_usable: KV blocks that may be filled: less than there are where requests had to wait inside,
            learned where nobody tells; None where nothing limits yet.
        iteration_s: duration of one engine iteration as now measured.
        strangers: requests inside the engine that did not come through here.
        metrics_stale: the engine's metrics stand still although it works.
        engine_waits: requests so far that had to wait inside the engine, as measured.
        draining: refusing new requests.
        predictor: how the predictor is.
        trust: how far its predictions can be trusted.
        policy_reason: why another policy than the configured one is in effect; empty where it is not.
        evictions: requests taken back to be begun anew, since the start.
        discarded_tokens: output tokens that these had generated in vain.
        tenants: those that wait, most work first; empty where tenants have no shares.
        counters: totals since start by name (`received`, `completed`, `cancelled`, `failed`, `rejected`,
            `retried`, `refused`,
            `predictions`, `prediction_failures`, `rekeys`).
    """

    queued: int
    queued_bytes: int
    in_flight: int
    policy: str
    policy_note: str = ""
    backlog_s: float
    time_to_start_all_s: float = 0.0
    oldest_wait_s: float = 0.0
    gamma: float | None
    slots: int
    kv_blocks_reserved: int
    kv_blocks: int | None
    iteration_s: float
    draining: bool
    predictor: PredictorState
    trust: TrustReport = field(default_factory=TrustReport)
    policy_reason: str = ""
    kv_blocks_usable: int | None = None
    strangers: int = 0
    metrics_stale: bool = False
    engine_waits: int = 0
    evictions: int = 0
    discarded_tokens: int = 0
    tenants: tuple[TenantState, ...] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
