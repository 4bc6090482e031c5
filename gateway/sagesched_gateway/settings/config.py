"""The gateway's settings: what may be written, what it means, what is refused.

The operator writes these settings into a ConfigMap and the gateway reads them, both through this module, so
that the two cannot disagree; for that reason it and all that it imports need nothing but the standard
library. Keys are camelCase, as in the pool resource. Each section is a file of `sections/`; `section.py`
reads values and words the complaints.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from sagesched_gateway.settings.section import AUTO, Section
from sagesched_gateway.settings.sections import (
    admin,
    attributes,
    deadlines,
    drain,
    engine,
    limits,
    listen,
    log,
    openai,
    predictor,
    recorder,
    scheduling,
    tenants,
    traces,
    triton,
)
from sagesched_gateway.settings.sections.admin import AdminConfig
from sagesched_gateway.settings.sections.attributes import AttributesConfig
from sagesched_gateway.settings.sections.deadlines import DeadlinesConfig
from sagesched_gateway.settings.sections.drain import DrainConfig
from sagesched_gateway.settings.sections.engine import EngineConfig
from sagesched_gateway.settings.sections.limits import LimitsConfig
from sagesched_gateway.settings.sections.listen import ListenConfig
from sagesched_gateway.settings.sections.log import LogConfig
from sagesched_gateway.settings.sections.openai import OpenAIConfig
from sagesched_gateway.settings.sections.predictor import PredictorConfig
from sagesched_gateway.settings.sections.recorder import RecorderConfig
from sagesched_gateway.settings.sections.scheduling import SchedulingConfig
from sagesched_gateway.settings.sections.tenants import TenantsConfig
from sagesched_gateway.settings.sections.traces import TracesConfig
from sagesched_gateway.settings.sections.triton import TritonConfig

PROFILES = ("auto", "inflight-batcher", "llmapi", "vllm", "none")
"""Tensor contracts by name; `auto` looks at a model's tensors, `none` passes it through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """All settings of one gateway.

    Attributes:
        tokenizer: path of the served model's `tokenizer.json`, or of the folder that holds it and, for chats,
            `tokenizer_config.json`; None estimates lengths of prompts, learning
            from the engine's counts.
        profiles: (model, one of `PROFILES`) where a model's tensors do not tell what it is.
    """

    listen: ListenConfig = field(default_factory=ListenConfig)
    triton: TritonConfig = field(default_factory=TritonConfig)
    scheduling: SchedulingConfig = field(default_factory=SchedulingConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    predictor: PredictorConfig = field(default_factory=PredictorConfig)
    tokenizer: str | None = None
    profiles: tuple[tuple[str, str], ...] = field(default=(), metadata={"mapping": "yes"})
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    deadlines: DeadlinesConfig = field(default_factory=DeadlinesConfig)
    tenants: TenantsConfig = field(default_factory=TenantsConfig)
    attributes: AttributesConfig = field(default_factory=AttributesConfig)
    admin: AdminConfig = field(default_factory=AdminConfig)
    openai: OpenAIConfig = field(default_factory=OpenAIConfig)
    recorder: RecorderConfig = field(default_factory=RecorderConfig)
    log: LogConfig = field(default_factory=LogConfig)
    traces: TracesConfig = field(default_factory=TracesConfig)
    drain: DrainConfig = field(default_factory=DrainConfig)


def parse_config(mapping: Mapping[str, object]) -> GatewayConfig:
    """Read settings from a mapping such as a YAML file gives; absent fields take their defaults.

    Raises:
        ConfigError: a key is unknown, a value is not allowed, or the encoder is missing; names all of it.
    """
    root = Section(mapping, GatewayConfig)
    config = GatewayConfig(
        listen=listen.read(root.section("listen", ListenConfig)),
        triton=triton.read(root.section("triton", TritonConfig)),
        scheduling=scheduling.read(root.section("scheduling", SchedulingConfig)),
        engine=engine.read(root.section("engine", EngineConfig)),
        predictor=predictor.read(root.section("predictor", PredictorConfig)),
        tokenizer=root.path_of("tokenizer"),
        profiles=root.choices_by_name("profiles", PROFILES, "profile"),
        limits=limits.read(root.section("limits", LimitsConfig)),
        deadlines=deadlines.read(root.section("deadlines", DeadlinesConfig)),
        tenants=tenants.read(root.section("tenants", TenantsConfig)),
        attributes=attributes.read(root.section("attributes", AttributesConfig)),
        admin=admin.read(root.section("admin", AdminConfig)),
        openai=openai.read(root.section("openai", OpenAIConfig)),
        recorder=recorder.read(root.section("recorder", RecorderConfig)),
        log=log.read(root.section("log", LogConfig)),
        traces=traces.read(root.section("traces", TracesConfig)),
        drain=drain.read(root.section("drain", DrainConfig)),
    )
    if config.drain.quantile is not None and config.predictor.mode == "None":
        root.refuse("drain.quantile", "needs predictions: remove it, or choose another predictor.mode")
    root.raise_if_refused()
    return config


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
        if "mapping" in item.metadata:
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
