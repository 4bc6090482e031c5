"""The gateway's settings, through the gateway's own schema, and what of them only new pods take over."""

from __future__ import annotations

import yaml

from sagesched_gateway.settings.config import (
    GatewayConfig,
    digest,
    parse_config,
    to_mapping,
)
from sagesched_gateway.settings.reloadable import take_reloadable
from sagesched_operator.api.gateway import AUTO, EvictionSpec, IntervalSpec, TlsSpec
from sagesched_operator.api.pool import Pool
from sagesched_operator.build.manifest import hash_of
from sagesched_operator.build.paths import CERTIFICATES, HISTORY, PREDICTOR, SOURCE

_MODELS = {
    "inflight-batcher": ("ensemble", "tensorrt_llm", "tensorrt_llm_bls"),
    "llmapi": ("tensorrt_llm",),
    "vllm": ("vllm_model",),
}
"""Names that the models of each kind's own repository have."""


def settings_of(pool: Pool) -> GatewayConfig:
    """What the pool's gateways run on."""
    spec = pool.spec
    gateway, profile = spec.gateway, spec.runtime.profile
    engine: dict[str, object] = {"kvPolicy": spec.runtime.kv_policy}
    if gateway.in_flight != AUTO:
        engine |= {"slots": int(gateway.in_flight), "lookahead": 0}
    wanted: dict[str, object] = {
        "listen": {"connectionAgeSeconds": gateway.connection_age_seconds, "tls": _tls(gateway.tls)},
        "scheduling": _scheduling(pool),
        "deadlines": {
            "refuseBelow": spec.scheduling.deadlines.refuse_below,
            "dropBelow": spec.scheduling.deadlines.drop_below,
        },
        "tenants": _tenants(pool),
        "engine": engine,
        "predictor": _predictor(pool),
        "profiles": dict.fromkeys(_MODELS.get(profile, ()), profile),
        "limits": {
            "queuedRequests": gateway.queue.requests,
            "queuedBytes": gateway.queue.bytes,
            "queuedSeconds": gateway.queue.seconds,
            "sheddableBelow": spec.scheduling.bands.sheddable_below,
            "fullCode": gateway.queue.full_code,
        },
        "attributes": {
            "trustedNetworks": list(gateway.trusted_networks),
            "exposePrediction": gateway.expose_prediction,
        },
        "admin": {"allow": list(gateway.admin_calls)},
        "openai": {"servedName": spec.model.name, "defaultMaxTokens": gateway.default_max_tokens},
        "traces": _traces(pool),
        "log": {"level": gateway.log_level, "format": gateway.log_format},
        "drain": {"maxSeconds": spec.drain.max_seconds, "quantile": spec.drain.quantile},
    }
    if spec.model.tokenizer is not None:
        wanted["tokenizer"] = f"{SOURCE}/{spec.model.tokenizer}"
    return parse_config(wanted)


def settings_text(settings: GatewayConfig) -> str:
    """The file, in full, keys in order, so that equal settings are equal text."""
    return yaml.safe_dump(to_mapping(settings), sort_keys=True)


def settings_digest(settings: GatewayConfig) -> str:
    """As the gateways report it."""
    return digest(settings)


def restart_hash(settings: GatewayConfig) -> str:
    """Hash of the settings that a running gateway does not take over; equal while only others change."""
    fixed, _ = take_reloadable(settings, GatewayConfig())
    return hash_of(to_mapping(fixed))


def _scheduling(pool: Pool) -> dict[str, object]:
    scheduling = pool.spec.scheduling
    interval, evictions = scheduling.interval or IntervalSpec(), scheduling.evictions or EvictionSpec()
    return {
        "policy": scheduling.policy,
        "tailWeight": scheduling.tail_weight,
        "ageGuard": scheduling.age_guard,
        "lowerQuantile": interval.lower,
        "upperQuantile": interval.upper,
        "evictFirst": evictions.first,
        "maxEvictions": evictions.most,
    }


def _traces(pool: Pool) -> dict[str, object]:
    traces = pool.spec.observability.traces
    if traces is None:
        return {}
    return {
        "endpoint": traces.endpoint,
        "sampleRatio": traces.sample_ratio,
        "resource": {"k8s.namespace.name": pool.namespace, "sagesched.pool": pool.name},
    }


def _tls(tls: TlsSpec | None) -> dict[str, object]:
    if tls is None:
        return {}
    return {"folder": CERTIFICATES, "requireClientCertificates": tls.require_client_certificates}


def _tenants(pool: Pool) -> dict[str, object]:
    tenants = pool.spec.scheduling.tenants
    if tenants is None:
        return {"enabled": False}
    weights = {tenant.name: tenant.weight for tenant in tenants.weights}
    return {"enabled": True, "weights": weights, "defaultWeight": tenants.default_weight}


def _predictor(pool: Pool) -> dict[str, object]:
    predictor = pool.spec.predictor
    wanted: dict[str, object] = {
        "mode": predictor.mode,
        "device": predictor.device,
        "calibration": {
            "tolerance": predictor.calibration.tolerance,
            "window": predictor.calibration.window,
        },
    }
    if predictor.mode != "None":
        wanted["history"] = {
            "size": predictor.history.size,
            "retentionDays": predictor.history.retention_days,
            "byTenant": predictor.history.by_tenant,
            # Pools may share a claim.
            "snapshot": f"{HISTORY}/{pool.name}",
        }
    if predictor.artifact is not None:
        wanted["encoder"] = PREDICTOR
    return wanted
