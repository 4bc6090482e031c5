"""A user's own sentence encoder, from a Hugging Face folder, as an artifact without a prior."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file

from sagesched_predictor.artifact import ENCODER_FILE, TOKENIZER_FILE, file_sha256
from sagesched_predictor.errors import ArtifactError
from sagesched_predictor.training.minilm_graph import OPSET, build_sentence_encoder
from sagesched_predictor.training.parts import write_card
from sagesched_predictor.training.quantization import write_network

NEEDED = ("config.json", "model.safetensors", "tokenizer.json")
# Prefix of the tensors' names where the encoder was saved inside a larger model.
PREFIX = "bert."


def export_own_encoder(source: Path, out: Path, precision: str = "int8") -> None:
    """Write `encoder.onnx`, `tokenizer.json` and `card.json`: mean pooling over all layers, unit vectors.

    Args:
        source: folder with `config.json`, `model.safetensors`, `tokenizer.json` of a BERT.
        out: folder to write; made when missing.
        precision: "int8", "fp16" or "fp32".

    Raises:
        ArtifactError: a file is missing, the architecture is another, or `out` cannot be written.
    """
    for name in NEEDED:
        if not (source / name).is_file():
            raise ArtifactError(
                f"{source / name} is missing; a Hugging Face folder with {', '.join(NEEDED)} is needed"
            )
    try:
        config = dict(json.loads((source / "config.json").read_text(encoding="utf-8")))
        tensors = load_file(source / "model.safetensors")
        weights = {name.removeprefix(PREFIX): tensor.astype("float32") for name, tensor in tensors.items()}
        model = build_sentence_encoder(weights, config)
    except (ValueError, KeyError, TypeError, ArithmeticError, OSError, SafetensorError) as error:
        raise ArtifactError(f"{source}: cannot be exported: {error}") from error
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_network(model, out / ENCODER_FILE, precision)
        shutil.copyfile(source / "tokenizer.json", out / TOKENIZER_FILE)
        card = {
            "kind": "sentence-encoder",
            "name": str(config.get("_name_or_path") or source.name),
            "precision": precision,
            "dimension": int(config["hidden_size"]),
            # It has no more positions than these.
            "max_prompt_tokens": len(weights["embeddings.position_embeddings.weight"]),
            "opset": OPSET,
            "sha256": {name: file_sha256(out / name) for name in (ENCODER_FILE, TOKENIZER_FILE)},
        }
        write_card(out, card)
    except OSError as error:
        raise ArtifactError(f"{out}: cannot be written: {error}") from error
