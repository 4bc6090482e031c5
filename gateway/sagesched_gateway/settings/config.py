"""The gateway's settings: what may be written, what it means, what is refused.

The operator writes these settings into a ConfigMap and the gateway reads them, both through this module, so
that the two cannot disagree; for that reason it imports nothing but the standard library. Keys are
camelCase, as in the pool resource. A wrong value is refused with its path and what is allowed; an unknown
key is an error: a misspelt knob that is silently ignored costs more than a start-up that fails.
"""

from __future__ import annotations

import difflib
import hashlib
import ipaddress
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

POLICIES = ("fcfs", "ssjf", "sagesched", "gittins-boost")
"""Names of `scheduling.policies` that may be configured; a test keeps the two equal."""

KV_POLICIES = ("MaxUtilization", "GuaranteedNoEvict")
PREDICTOR_MODES = ("HistoryOnly", "None")
DEVICES = ("CPU", "GPU")
PROFILES = ("auto", "inflight-batcher", "llmapi", "vllm", "none")
"""Tensor contracts by name; `auto` looks at a model's tensors, `none` passes it through."""

ADMIN_GROUPS = ("model-repository", "shared-memory", "trace", "logging")
"""Groups of Triton's management calls; names as in Triton's own `--http-restricted-api`."""

FULL_CODES = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")
PROMPT_RECORDS = ("Drop", "Hash", "Keep")
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("Text", "JSON")
_MIB = 2**20
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
        connection_age_s: connections are told to reconnect after this time, +-10 %, so that clients find new
            replicas; what runs on them is finished within `drain.maxSeconds`. 0 for never.
    """

    grpc: str = "0.0.0.0:8001"
    http: str = "0.0.0.0:8000"
    metrics: str = "0.0.0.0:8002"
    connection_age_s: float = field(default=600.0, metadata=_key("connectionAgeSeconds"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonConfig:
    """Addresses of the Triton server behind the gateway, `host:port`.

    Attributes:
        grpc: KServe v2 over gRPC; every generation goes there.
        http: KServe v2 over HTTP; what is passed through goes there.
        metrics: Prometheus text: the engine's gauges, and what `/metrics` appends to its own.
    """

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
class LimitsConfig:
    """What callers may take of the gateway; beyond it they get a clear error.

    Attributes:
        message_bytes: one gRPC message, or one HTTP body.
        header_bytes: metadata or headers of one call.
        json_depth: nesting of a JSON body.
        queued_requests: requests waiting here.
        queued_bytes: their messages together.
        full_code: gRPC status of a refusal because of these two, one of `FULL_CODES` (HTTP: 503 or 429).
        unread_bytes: answers that one stream's caller has not taken yet.
        slow_reader_s: a caller that takes nothing of an answer for so long loses its requests.
        idle_stream_s: a gRPC stream without requests for so long is ended.
    """

    message_bytes: int = field(default=64 * _MIB, metadata=_key("messageBytes"))
    header_bytes: int = field(default=32 * 1024, metadata=_key("headerBytes"))
    json_depth: int = field(default=64, metadata=_key("jsonDepth"))
    queued_requests: int = field(default=10_000, metadata=_key("queuedRequests"))
    queued_bytes: int = field(default=512 * _MIB, metadata=_key("queuedBytes"))
    full_code: str = field(default="UNAVAILABLE", metadata=_key("fullCode"))
    unread_bytes: int = field(default=16 * _MIB, metadata=_key("unreadBytes"))
    slow_reader_s: float = field(default=60.0, metadata=_key("slowReaderSeconds"))
    idle_stream_s: float = field(default=3600.0, metadata=_key("idleStreamSeconds"))


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributesConfig:
    """Tenant, priority and deadline that come with a request (`x-sagesched-...`).

    Attributes:
        trusted_networks: networks in CIDR notation; attributes of callers from elsewhere are ignored.
        expose_prediction: give the predicted quantiles of the answer's length to trusted callers.
    """

    trusted_networks: tuple[str, ...] = field(default=(), metadata=_key("trustedNetworks"))
    expose_prediction: bool = field(default=False, metadata=_key("exposePrediction"))


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminConfig:
    """Triton's management calls.

    Attributes:
        allow: groups (of `ADMIN_GROUPS`) that callers may use through the gateway; the others are refused.
    """

    allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIConfig:
    """The OpenAI face, `/v1`.

    Attributes:
        served_name: name of the model for OpenAI clients; None takes the model's own.
        model: the Triton model behind it; None takes the one text model there is.
        chat_template: file with a Jinja chat template; None takes the one beside the tokenizer.
        default_max_tokens: cap on output tokens where the caller names none.
    """

    served_name: str | None = field(default=None, metadata=_key("servedName"))
    model: str | None = None
    chat_template: str | None = field(default=None, metadata=_key("chatTemplate"))
    default_max_tokens: int = field(default=1024, metadata=_key("defaultMaxTokens"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderConfig:
    """The event log: one JSON line per request that ended, in the dataset format that replay reads.

    Attributes:
        file: where to; None records nothing. The file is private (mode 0600).
        prompts: one of `PROMPT_RECORDS`.
        max_bytes: size at which a new file is begun.
        files: how many full files are kept.
    """

    file: str | None = None
    prompts: str = "Drop"
    max_bytes: int = field(default=64 * _MIB, metadata=_key("maxBytes"))
    files: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """The gateway's own log, on stderr.

    Attributes:
        level: one of `LOG_LEVELS`.
        format: one of `LOG_FORMATS`.
    """

    level: str = "info"
    format: str = "Text"


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
        tokenizer: path of the served model's `tokenizer.json`, or of the folder that holds it and, for chats,
            `tokenizer_config.json`; None learns characters per token instead.
        profiles: (model, one of `PROFILES`) where a model's tensors do not tell what it is.
    """

    listen: ListenConfig = ListenConfig()
    triton: TritonConfig = TritonConfig()
    scheduling: SchedulingConfig = SchedulingConfig()
    engine: EngineConfig = EngineConfig()
    predictor: PredictorConfig = PredictorConfig()
    tokenizer: str | None = None
    profiles: tuple[tuple[str, str], ...] = ()
    limits: LimitsConfig = LimitsConfig()
    attributes: AttributesConfig = AttributesConfig()
    admin: AdminConfig = AdminConfig()
    openai: OpenAIConfig = OpenAIConfig()
    recorder: RecorderConfig = RecorderConfig()
    log: LogConfig = LogConfig()
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
        profiles=root.choices_by_name("profiles", PROFILES, "profile"),
        limits=_limits(root.section("limits", LimitsConfig)),
        attributes=_attributes(root.section("attributes", AttributesConfig)),
        admin=AdminConfig(allow=root.section("admin", AdminConfig).choices("allow", ADMIN_GROUPS, "group")),
        openai=_openai(root.section("openai", OpenAIConfig)),
        recorder=_recorder(root.section("recorder", RecorderConfig)),
        log=_log(root.section("log", LogConfig)),
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
        if item.name == "profiles":
            value = dict(value)
        elif isinstance(value, tuple):
            value = list(value)
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
        connection_age_s=section.number("connectionAgeSeconds", default.connection_age_s, least=0.0),
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


def _limits(section: _Section) -> LimitsConfig:
    default = LimitsConfig()
    return LimitsConfig(
        message_bytes=section.whole("messageBytes", default.message_bytes, least=1024),
        header_bytes=section.whole("headerBytes", default.header_bytes, least=1024),
        json_depth=section.whole("jsonDepth", default.json_depth, least=4),
        queued_requests=section.whole("queuedRequests", default.queued_requests, least=1),
        queued_bytes=section.whole("queuedBytes", default.queued_bytes, least=1024),
        full_code=section.choice("fullCode", default.full_code, FULL_CODES, "code"),
        unread_bytes=section.whole("unreadBytes", default.unread_bytes, least=1024),
        slow_reader_s=section.number("slowReaderSeconds", default.slow_reader_s, above=0.0),
        idle_stream_s=section.number("idleStreamSeconds", default.idle_stream_s, above=0.0),
    )


def _attributes(section: _Section) -> AttributesConfig:
    return AttributesConfig(
        trusted_networks=section.networks("trustedNetworks"),
        expose_prediction=section.flag("exposePrediction", False),
    )


def _openai(section: _Section) -> OpenAIConfig:
    return OpenAIConfig(
        served_name=section.name_of("servedName"),
        model=section.name_of("model"),
        chat_template=section.path_of("chatTemplate"),
        default_max_tokens=section.whole("defaultMaxTokens", OpenAIConfig().default_max_tokens, least=1),
    )


def _recorder(section: _Section) -> RecorderConfig:
    default = RecorderConfig()
    return RecorderConfig(
        file=section.path_of("file"),
        prompts=section.choice("prompts", default.prompts, PROMPT_RECORDS, "choice"),
        max_bytes=section.whole("maxBytes", default.max_bytes, least=1024),
        files=section.whole("files", default.files, least=1),
    )


def _log(section: _Section) -> LogConfig:
    default = LogConfig()
    return LogConfig(
        level=section.choice("level", default.level, LOG_LEVELS, "level"),
        format=section.choice("format", default.format, LOG_FORMATS, "format"),
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

    def name_of(self, key: str) -> str | None:
        value = self._raw.get(key)
        if value is None or (isinstance(value, str) and value):
            return value
        raise self._refused(key, f"must be a name, not {_shown(value)}")

    def choices(self, key: str, allowed: tuple[str, ...], what: str) -> tuple[str, ...]:
        values = self._list(key)
        for value in values:
            if value not in allowed:
                raise self._refused(key, f"unknown {what} {_shown(value)}, any of {', '.join(allowed)}")
        return tuple(dict.fromkeys(str(value) for value in values))

    def choices_by_name(self, key: str, allowed: tuple[str, ...], what: str) -> tuple[tuple[str, str], ...]:
        raw = self._raw.get(key)
        if raw is None:
            return ()
        if not isinstance(raw, Mapping):
            raise self._refused(key, f"must be a mapping of names, not {_shown(raw)}")
        for name, value in raw.items():
            if not isinstance(name, str) or value not in allowed:
                raise self._refused(
                    f"{key}.{name}", f"unknown {what} {_shown(value)}, one of {', '.join(allowed)}"
                )
        return tuple(sorted((str(name), str(value)) for name, value in raw.items()))

    def networks(self, key: str) -> tuple[str, ...]:
        networks = []
        for value in self._list(key):
            try:
                networks.append(str(ipaddress.ip_network(str(value))))
            except ValueError:
                raise self._refused(
                    key, f"must be networks such as 10.0.0.0/8, without host bits, not {_shown(value)}"
                ) from None
        return tuple(networks)

    def _list(self, key: str) -> list[object]:
        value = self._raw.get(key)
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            raise self._refused(key, f"must be a list, not {_shown(value)}")
        return list(value)

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
