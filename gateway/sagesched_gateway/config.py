"""The gateway's settings: what may be written, what it means, what is refused.

The operator writes these settings into a ConfigMap and the gateway reads them, both through this module, so
that the two cannot disagree; for that reason it imports nothing but the standard library. Keys are
camelCase, as in the pool resource. A wrong value is refused with its path and what is allowed; an unknown
key is an error: a misspelt knob that is silently ignored costs more than a start-up that fails.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

POLICIES = ("fcfs", "ssjf", "sagesched", "gittins-boost")
"""Names of `scheduling.policies` that may be configured; a test keeps the two equal."""

KV_POLICIES = ("MaxUtilization", "GuaranteedNoEvict")
PREDICTOR_MODES = ("HistoryOnly", "None")
DEVICES = ("CPU", "GPU")
AUTO = "auto"


class ConfigError(ValueError):
    """A setting cannot be accepted.

    Attributes:
        path: dotted path of the field, for example `scheduling.policy`; empty for the whole.
        problem: what is wrong and what is allowed.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem


def _key(name: str) -> dict[str, str]:
    """Metadata of a dataclass field whose key in the mapping differs from its name."""
    return {"key": name}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenConfig:
    """Addresses the gateway serves, `host:port`; port 0 takes a free one, printed at start-up.

    Attributes:
        grpc: KServe v2 over gRPC.
        http: KServe v2 over HTTP with Triton's generate extension.
        metrics: `/metrics`, `/status`, `/healthz`, `/readyz`.
    """

    grpc: str = "0.0.0.0:8001"
    http: str = "0.0.0.0:8000"
    metrics: str = "0.0.0.0:8002"


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonConfig:
    """Addresses of the Triton server behind the gateway, `host:port`."""

    grpc: str = "127.0.0.1:18001"
    http: str = "127.0.0.1:18000"
    metrics: str = "127.0.0.1:18002"


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulingConfig:
    """The order of waiting requests.

    Attributes:
        policy: one of `POLICIES`.
        tail_weight: gittins-boost: dimensionless, > 0; small favours the mean, large the tail.
        age_guard: ssjf: serve by age while the oldest request has waited too long.
    """

    policy: str = "gittins-boost"
    tail_weight: float = field(default=1.0, metadata=_key("tailWeight"))
    age_guard: bool = field(default=False, metadata=_key("ageGuard"))


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """The engine's limits; None (`auto`) takes them from the model's configuration and metrics.

    Attributes:
        slots: places in the running batch.
        kv_blocks: blocks in the paged KV pool.
        block_tokens: tokens per KV block.
        kv_policy: one of `KV_POLICIES`: how the engine reserves KV blocks.
        max_num_tokens: tokens per engine iteration.
        lookahead: requests sent beyond `slots`, 0..8.
        kv_headroom_iterations: where the engine grows KV as it goes, iterations of growth kept free when a
            request starts; more spares the engine pauses, less fills its pool further.
    """

    slots: int | None = None
    kv_blocks: int | None = field(default=None, metadata=_key("kvBlocks"))
    block_tokens: int | None = field(default=None, metadata=_key("blockTokens"))
    kv_policy: str | None = field(default=None, metadata=_key("kvPolicy"))
    max_num_tokens: int | None = field(default=None, metadata=_key("maxNumTokens"))
    lookahead: int | None = None
    kv_headroom_iterations: int | None = field(default=None, metadata=_key("kvHeadroomIterations"))


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryConfig:
    """The predictor's memory of past prompts.

    Attributes:
        size: records kept; the oldest go first.
        min_similarity: cosine similarity from which a past prompt counts, 0..1.
        file: a history to start from, or None.
    """

    size: int = 10_000
    min_similarity: float = field(default=0.8, metadata=_key("minSimilarity"))
    file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorConfig:
    """Prediction of output lengths.

    Attributes:
        mode: one of `PREDICTOR_MODES`.
        encoder: folder with `encoder.onnx` and `tokenizer.json`; required unless mode is `None`.
        device: one of `DEVICES`.
        timeout_s: a prediction that takes longer is given up (the request itself is never delayed).
        history: the memory of past prompts.
    """

    mode: str = "HistoryOnly"
    encoder: str | None = None
    device: str = "CPU"
    timeout_s: float = field(default=5.0, metadata=_key("timeoutSeconds"))
    history: HistoryConfig = HistoryConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainConfig:
    """What happens on SIGTERM.

    Attributes:
        max_s: longest time to finish what is queued and running.
    """

    max_s: float = field(default=300.0, metadata=_key("maxSeconds"))


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """All settings of one gateway.

    Attributes:
        tokenizer: path of the served model's `tokenizer.json`; None learns characters per token instead.
    """

    listen: ListenConfig = ListenConfig()
    triton: TritonConfig = TritonConfig()
    scheduling: SchedulingConfig = SchedulingConfig()
    engine: EngineConfig = EngineConfig()
    predictor: PredictorConfig = PredictorConfig()
    tokenizer: str | None = None
    drain: DrainConfig = DrainConfig()


def parse_config(mapping: Mapping[str, object]) -> GatewayConfig:
    """Read settings from a mapping such as a YAML file gives; absent fields take their defaults.

    Raises:
        ConfigError: a key is unknown, a value is not allowed, or the encoder is missing.
    """
    root = _Section(mapping, GatewayConfig)
    return GatewayConfig(
        listen=_listen(root.section("listen", ListenConfig)),
        triton=_triton(root.section("triton", TritonConfig)),
        scheduling=_scheduling(root.section("scheduling", SchedulingConfig)),
        engine=_engine(root.section("engine", EngineConfig)),
        predictor=_predictor(root.section("predictor", PredictorConfig)),
        tokenizer=root.path_of("tokenizer"),
        drain=DrainConfig(max_s=root.section("drain", DrainConfig).number("maxSeconds", 300.0, least=0.0)),
    )


def to_mapping(config: GatewayConfig) -> dict[str, object]:
    """The inverse of `parse_config`: every field with its key; limits left to the engine read `auto`."""
    return _mapping_of(config)


def digest(config: GatewayConfig) -> str:
    """SHA-256 (hex) of the settings in canonical form: equal settings have equal digests, however written."""
    canonical = json.dumps(to_mapping(config), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _mapping_of(section: object) -> dict[str, object]:
    result: dict[str, object] = {}
    for item in fields(section):  # type: ignore[arg-type]  # only called with the dataclasses above
        value = getattr(section, item.name)
        if hasattr(value, "__dataclass_fields__"):
            value = _mapping_of(value)
        elif value is None:
            if not isinstance(section, EngineConfig):
                continue
            value = AUTO
        result[item.metadata.get("key", item.name)] = value
    return result


def _listen(section: _Section) -> ListenConfig:
    default = ListenConfig()
    return ListenConfig(
        grpc=section.address("grpc", default.grpc, lowest_port=0),
        http=section.address("http", default.http, lowest_port=0),
        metrics=section.address("metrics", default.metrics, lowest_port=0),
    )


def _triton(section: _Section) -> TritonConfig:
    default = TritonConfig()
    return TritonConfig(
        grpc=section.address("grpc", default.grpc),
        http=section.address("http", default.http),
        metrics=section.address("metrics", default.metrics),
    )


def _scheduling(section: _Section) -> SchedulingConfig:
    default = SchedulingConfig()
    return SchedulingConfig(
        policy=section.choice("policy", default.policy, POLICIES, "policy"),
        tail_weight=section.number("tailWeight", default.tail_weight, above=0.0),
        age_guard=section.flag("ageGuard", default.age_guard),
    )


def _engine(section: _Section) -> EngineConfig:
    policy = section.choice("kvPolicy", AUTO, (AUTO, *KV_POLICIES), "KV policy")
    return EngineConfig(
        slots=section.whole_or_auto("slots", least=1),
        kv_blocks=section.whole_or_auto("kvBlocks", least=1),
        block_tokens=section.whole_or_auto("blockTokens", least=1),
        kv_policy=None if policy == AUTO else policy,
        max_num_tokens=section.whole_or_auto("maxNumTokens", least=1),
        lookahead=section.whole_or_auto("lookahead", least=0, most=8),
        kv_headroom_iterations=section.whole_or_auto("kvHeadroomIterations", least=0),
    )


def _predictor(section: _Section) -> PredictorConfig:
    default = PredictorConfig()
    mode = section.choice("mode", default.mode, PREDICTOR_MODES, "mode")
    encoder = section.path_of("encoder")
    if encoder is None and mode != "None":
        raise ConfigError(
            section.path("encoder"),
            f"missing: mode {mode} needs the folder that holds encoder.onnx; "
            f"without one set {section.path('mode')}: None",
        )
    history = section.section("history", HistoryConfig)
    return PredictorConfig(
        mode=mode,
        encoder=encoder,
        device=section.choice("device", default.device, DEVICES, "device"),
        timeout_s=section.number("timeoutSeconds", default.timeout_s, above=0.0),
        history=HistoryConfig(
            size=history.whole("size", default.history.size, least=1),
            min_similarity=history.number(
                "minSimilarity", default.history.min_similarity, least=0.0, most=1.0
            ),
            file=history.path_of("file"),
        ),
    )


class _Section:
    """One mapping of the settings: typed reading with the path in every complaint."""

    def __init__(self, raw: object, schema: type, path: str = "") -> None:
        if not isinstance(raw, Mapping):
            raise ConfigError(path, f"must be a mapping of settings, not {_shown(raw)}")
        self._raw: Mapping[object, object] = raw
        self._path = path
        known = [item.metadata.get("key", item.name) for item in fields(schema)]
        for key in raw:
            if key not in known:
                close = difflib.get_close_matches(str(key), known, n=1)
                hint = f"did you mean '{close[0]}'? Known here" if close else "known here"
                raise ConfigError(self.path(str(key)), f"unknown setting; {hint}: {', '.join(known)}")

    def path(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def section(self, key: str, schema: type) -> _Section:
        raw = self._raw.get(key)
        # `engine:` with all its lines commented out reads as nothing, and means the defaults.
        return _Section({} if raw is None else raw, schema, self.path(key))

    def choice(self, key: str, default: str, allowed: tuple[str, ...], what: str) -> str:
        value = self._raw.get(key, default)
        if value not in allowed:
            raise self._refused(key, f"unknown {what} {_shown(value)}, one of {', '.join(allowed)}")
        return str(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self._raw.get(key, default)
        if not isinstance(value, bool):
            raise self._refused(key, f"must be true or false, not {_shown(value)}")
        return value

    def whole(self, key: str, default: int, *, least: int) -> int:
        return self._whole(
            key, self._raw.get(key, default), f"a whole number of at least {least}", least, None
        )

    def whole_or_auto(self, key: str, *, least: int, most: int | None = None) -> int | None:
        value = self._raw.get(key, AUTO)
        if value == AUTO:
            return None
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        return self._whole(key, value, f"'{AUTO}' or a whole number {bounds}", least, most)

    def _whole(self, key: str, value: object, wanted: str, least: int, most: int | None) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._refused(key, f"must be {wanted}, not {_shown(value)}")
        if value < least or (most is not None and value > most):
            raise self._refused(key, f"must be {wanted}, not {value}")
        return value

    def number(
        self,
        key: str,
        default: float,
        *,
        above: float | None = None,
        least: float | None = None,
        most: float | None = None,
    ) -> float:
        value = self._raw.get(key, default)
        bounds = [f"above {above:g}"] if above is not None else []
        bounds += [f"of at least {least:g}"] if least is not None else []
        bounds += [f"at most {most:g}"] if most is not None else []
        wanted = f"must be a number {' and '.join(bounds)}, not {_shown(value)}"
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise self._refused(key, wanted)
        if (above is not None and value <= above) or (least is not None and value < least):
            raise self._refused(key, wanted)
        if most is not None and value > most:
            raise self._refused(key, wanted)
        return float(value)

    def path_of(self, key: str) -> str | None:
        value = self._raw.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            raise self._refused(key, f"must be the path of a file or folder, not {_shown(value)}")
        return value

    def address(self, key: str, default: str, *, lowest_port: int = 1) -> str:
        value = self._raw.get(key, default)
        wanted = f"must be host:port with a port from {lowest_port} to 65535, not {_shown(value)}"
        if not isinstance(value, str):
            raise self._refused(key, wanted)
        host, _, port = value.rpartition(":")
        if not host or (":" in host and not (host.startswith("[") and host.endswith("]"))):
            raise self._refused(key, wanted)
        if not (port.isascii() and port.isdigit()) or not lowest_port <= int(port) <= 65535:
            raise self._refused(key, wanted)
        return value

    def _refused(self, key: str, problem: str) -> ConfigError:
        return ConfigError(self.path(key), problem)


def _shown(value: object) -> str:
    return "nothing" if value is None else f"{value!r:.60}"
