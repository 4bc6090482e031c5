"""Wire format between gateway and worker: newline-delimited JSON, parsed here and nowhere else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.features import Outcome, PromptFeatures
from sagesched_predictor.predictor import Prediction

Pairs = list[tuple[float, float]]


class MessageError(ValueError):
    """A line that cannot be understood; carries the id it belongs to where that much could be read."""

    def __init__(self, message: str, request_id: str | None = None) -> None:
        """Say what is wrong, in one line."""
        super().__init__(message)
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class Predict:
    """Asks for a prediction."""

    request_id: str
    features: PromptFeatures


@dataclass(frozen=True, slots=True)
class Observe:
    """Tells what happened to a request."""

    request_id: str
    features: PromptFeatures
    outcome: Outcome


def parse_line(line: bytes) -> Predict | Observe:
    """Read one line; raises MessageError."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"not JSON: {error}") from None
    if not isinstance(message, dict):
        raise MessageError("not a JSON object")
    request_id = message.get("id")
    if not isinstance(request_id, str):
        raise MessageError("id: a string is needed")
    try:
        return _parsed(message, request_id)
    except MessageError as error:
        raise MessageError(str(error), request_id) from None


def _parsed(message: dict[str, Any], request_id: str) -> Predict | Observe:
    operation = message.get("op")
    if operation not in ("predict", "observe"):
        raise MessageError(f"op: unknown operation {operation!r}, one of predict, observe")
    features = PromptFeatures(
        prompt=_text(message, "prompt"),
        prompt_tokens=_count(message, "prompt_tokens"),
        max_tokens=_count(message, "max_tokens"),
        model=_text(message, "model"),
        temperature=_number(message, "temperature"),
        top_p=_number(message, "top_p"),
        system_prompt=_text(message, "system_prompt", ""),
        has_tools=_flag(message, "has_tools", False),
        wants_json=_flag(message, "wants_json", False),
        thinking=_flag(message, "thinking", False),
        tenant=_text(message, "tenant", ""),
    )
    if operation == "predict":
        return Predict(request_id, features)
    outcome = Outcome(output_tokens=_count(message, "output_tokens"), censored=_flag(message, "censored"))
    return Observe(request_id, features, outcome)


def _flag(message: dict[str, Any], name: str, default: bool | None = None) -> bool:
    value = message.get(name, default)
    if not isinstance(value, bool):
        raise MessageError(f"{name}: true or false is needed")
    return value


def _number(message: dict[str, Any], name: str) -> float | None:
    value = message.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise MessageError(f"{name}: a number is needed")
    try:
        return None if value is None else float(value)
    except OverflowError:  # JSON's whole numbers have no end
        raise MessageError(f"{name}: a number that is too large") from None


def _text(message: dict[str, Any], name: str, default: str | None = None) -> str:
    value = message.get(name, default)
    if not isinstance(value, str):
        raise MessageError(f"{name}: a string is needed")
    return value


def _count(message: dict[str, Any], name: str) -> int:
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise MessageError(f"{name}: a whole number of at least 0 is needed")
    return value


def ready_line(
    provider: str,
    fallback: str | None,
    num_records: int,
    pool: Pairs | None,
    *,
    has_prior: bool = False,
) -> str:
    """The first line of a worker."""
    return json.dumps(
        {
            "op": "ready",
            "provider": provider,
            "fallback": fallback,
            "history": num_records,
            "pool": pool,
            "prior": has_prior,
        }
    )


def note_line(message: str) -> str:
    """Something went wrong that no request suffers from; somebody should know."""
    return json.dumps({"op": "note", "message": message})


def prediction_line(request_id: str, prediction: Prediction, seconds: float) -> str:
    """The answer to `predict`; `seconds` is what the whole group took."""
    distribution = prediction.distribution
    return json.dumps(
        {
            "op": "prediction",
            "id": request_id,
            "pairs": distribution.to_pairs() if distribution is not None else [],
            "source": prediction.source,
            "neighbours": prediction.neighbours,
            "seconds": round(seconds, 6),
        }
    )


def pool_line(model: str, distribution: LengthDistribution) -> str:
    """News of a model's pool-wide distribution."""
    return json.dumps({"op": "pool", "model": model, "pairs": distribution.to_pairs()})


def error_line(request_id: str | None, message: str) -> str:
    """The answer to a line that was not understood or could not be served."""
    return json.dumps({"op": "error", "id": request_id, "message": message})
