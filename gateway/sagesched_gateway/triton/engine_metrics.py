"""The engine's gauges, read from Triton's metrics text, and its limits, read from the model's configuration.

TensorRT-LLM's backend exports one family per topic with one label that names the quantity, for example
`nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="context",version="1"} 0`; labels come sorted by
name. They are written each 100 ms while iterations run and keep their last value afterwards.
"""

from __future__ import annotations

import logging
import re

import aiohttp

from sagesched_gateway.dispatch.ports import EngineGauges, EngineLimits
from sagesched_gateway.scheduling.capacity import KvPolicy
from sagesched_gateway.triton.metadata import ModelCatalog

_LOG = logging.getLogger(__name__)

_TIMEOUT = aiohttp.ClientTimeout(total=2.0)
_LINE = re.compile(r"^nv_trt_llm_(\w+?)(?:_metrics)?\{([^}]*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')

# (family without prefix and suffix, value of its label) -> field of EngineGauges
_FIELDS = {
    ("request", "max"): "max_requests",
    ("request", "active"): "active",
    ("request", "scheduled"): "scheduled",
    ("request", "waiting"): "waiting",
    ("inflight_batcher", "paused_requests"): "paused",
    ("kv_cache_block", "max"): "kv_blocks",
    ("kv_cache_block", "used"): "used_blocks",
    ("kv_cache_block", "tokens_per"): "block_tokens",
    ("general", "iteration_counter"): "iteration",
}
_QUANTITY_LABELS = frozenset(
    {"request_type", "inflight_batcher_specific_metric", "kv_cache_block_type", "general_type"}
)
_TRUE = ("true", "1")
_KV_POLICIES = {
    "guaranteed_no_evict": KvPolicy.GUARANTEED_NO_EVICT,
    "max_utilization": KvPolicy.MAX_UTILIZATION,
}


def parse_gauges(text: str, model: str | None = None) -> EngineGauges:
    """Read the gauges of one engine.

    Args:
        text: Triton's whole metrics text.
        model: name of the engine model; None takes whatever is there.
    """
    found: dict[str, int] = {}
    for family, labels, value in _LINE.findall(text):
        quantity = None
        for key, label in _LABEL.findall(labels):
            if key in _QUANTITY_LABELS:
                quantity = label
            elif key == "model" and model is not None and label != model:
                quantity = None
                break
        field = _FIELDS.get((family, quantity)) if quantity is not None else None
        if field is not None:
            found[field] = int(float(value))
    return EngineGauges(**found)


class TritonEngineProbe:
    """Dispatch's port `EngineProbe`, spoken to Triton."""

    def __init__(self, catalog: ModelCatalog, metrics_address: str) -> None:
        """Prepare; nothing is connected yet.

        Args:
            catalog: to find the engine model in.
            metrics_address: `host:port` of Triton's metrics.
        """
        self._catalog = catalog
        self._url = f"http://{metrics_address}/metrics"
        self._session: aiohttp.ClientSession | None = None
        self._was_readable = True

    async def limits(self) -> EngineLimits:
        """What the engine model's configuration tells; see `EngineProbe.limits`."""
        engine = self._catalog.engine
        if engine is None:
            grows = KvPolicy.MAX_UTILIZATION if self._catalog.is_vllm else None
            return EngineLimits(
                most_at_once=self._catalog.most_at_once,
                kv_policy=grows,
                splits_prompts=self._catalog.is_vllm,  # as vLLM does unless told otherwise
            )
        config = engine.config.config
        return EngineLimits(
            slots=config.max_batch_size or None,
            kv_tokens=_positive(_parameter(config, "max_tokens_in_paged_kv_cache")),
            kv_policy=_KV_POLICIES.get(_parameter(config, "batch_scheduler_policy")),
            max_num_tokens=_positive(_parameter(config, "max_num_tokens")),
            splits_prompts=_parameter(config, "enable_chunked_context") in _TRUE,
            most_at_once=self._catalog.most_at_once,
        )

    async def gauges(self) -> EngineGauges | None:
        """What the metrics tell now, see `EngineProbe.gauges`; a failure is logged once until it works."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        try:
            async with self._session.get(self._url) as response:
                text = await response.text() if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if self._was_readable:
                _LOG.warning("cannot read the engine's metrics at %s: %s", self._url, error)
            self._was_readable = False
            return None
        self._was_readable = True
        if text is None:
            return None
        engine = self._catalog.engine
        return parse_gauges(text, engine.name if engine is not None else None)

    async def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()


def _parameter(config: object, name: str) -> str:
    parameters = config.parameters  # type: ignore[attr-defined]
    return str(parameters[name].string_value).strip().lower() if name in parameters else ""


def _positive(text: str) -> int | None:
    return int(text) if text.isdecimal() and int(text) > 0 else None
