"""The `nv_trt_llm_*` metrics that TensorRT-LLM's backend exports, fed from the emulated engine.

As there, gauges stand at 0 until the first iteration, are brought up to date each 100 ms in which iterations
ran, and keep their last value when the engine falls idle. `waiting` is active minus scheduled, not the length
of the queue.
"""

from __future__ import annotations

import time
from typing import Any

import triton_python_backend_utils as pb_utils

from sagesched_emulator.iteration import EngineStatistics

GAUGES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "nv_trt_llm_request_metrics": (
        "TRT LLM request metrics",
        "request_type",
        ("active", "max", "scheduled", "context", "waiting"),
    ),
    "nv_trt_llm_runtime_memory_metrics": (
        "TRT LLM runtime memory metrics",
        "memory_type",
        ("cpu", "gpu", "pinned"),
    ),
    "nv_trt_llm_kv_cache_block_metrics": (
        "TRT LLM KV cache block metrics",
        "kv_cache_block_type",
        ("max", "free", "used", "tokens_per", "reused", "fraction"),
    ),
    "nv_trt_llm_inflight_batcher_metrics": (
        "TRT LLM inflight_batcher-specific metrics",
        "inflight_batcher_specific_metric",
        ("total_context_tokens", "generation_requests", "micro_batch_id", "paused_requests"),
    ),
    "nv_trt_llm_general_metrics": (
        "General TRT LLM metrics",
        "general_type",
        ("timestamp", "iteration_counter"),
    ),
}
TOKEN_BUCKETS = [10.0, 50.0, 100.0, 500.0, 1000.0]


class EngineMetrics:
    """All families of one model.

    Setting a value costs a round trip into Triton, so unchanged ones are left alone.
    """

    def __init__(self, model: str, version: str, max_batch_size: int) -> None:
        """Register the families.

        Args:
            model: label `model`.
            version: label `version`.
            max_batch_size: what the `max` gauge will show.
        """
        self._max_batch_size = max_batch_size
        self._families: list[Any] = []  # a metric lives only as long as its family
        self._gauges: dict[tuple[str, str], Any] = {}
        self._shown: dict[tuple[str, str], float] = {}
        labels = {"model": model, "version": version}
        for name, (description, label, values) in GAUGES.items():
            family = self._family(name, description, pb_utils.MetricFamily.GAUGE)
            for value in values:
                self._gauges[name, value] = family.Metric(labels={**labels, label: value})
        self._input_tokens = self._histogram("nv_llm_input_token_len", "total_input_tokens", labels)
        self._output_tokens = self._histogram("nv_llm_output_token_len", "total_output_tokens", labels)

    def publish(self, statistics: EngineStatistics, context_tokens: int) -> None:
        """Show the gauges of an iteration in which `context_tokens` prompt tokens were prefilled."""
        self._show(
            "nv_trt_llm_request_metrics",
            active=statistics.num_active,
            max=self._max_batch_size,
            scheduled=statistics.num_scheduled,
            context=statistics.num_context,
            waiting=statistics.num_active - statistics.num_scheduled,
        )
        self._show(
            "nv_trt_llm_kv_cache_block_metrics",
            max=statistics.max_blocks,
            free=statistics.free_blocks,
            used=statistics.used_blocks,
            tokens_per=statistics.block_tokens,
            fraction=statistics.used_blocks / statistics.max_blocks,
        )
        self._show(
            "nv_trt_llm_inflight_batcher_metrics",
            total_context_tokens=context_tokens,
            generation_requests=statistics.num_generation,
            paused_requests=statistics.num_paused,
        )
        self._show(
            "nv_trt_llm_general_metrics",
            timestamp=int(time.time() * 1e6),
            iteration_counter=statistics.iteration,
        )

    def finished(self, prompt_tokens: int, output_tokens: int) -> None:
        """Count a request's lengths."""
        self._input_tokens.observe(prompt_tokens)
        self._output_tokens.observe(output_tokens)

    def _family(self, name: str, description: str, kind: Any) -> Any:
        family = pb_utils.MetricFamily(name=name, description=description, kind=kind)
        self._families.append(family)
        return family

    def _histogram(self, name: str, value: str, labels: dict[str, str]) -> Any:
        family = self._family(name, "TRT LLM response metrics", pb_utils.MetricFamily.HISTOGRAM)
        return family.Metric(labels={**labels, "response_metric_type": value}, buckets=TOKEN_BUCKETS)

    def _show(self, family: str, **values: float) -> None:
        for label, value in values.items():
            if self._shown.get((family, label)) != value:
                self._shown[family, label] = value
                self._gauges[family, label].set(value)
