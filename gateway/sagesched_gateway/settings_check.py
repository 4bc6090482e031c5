"""What `sagesched-gateway check` finds beyond the file's own form: files that are named but not there."""

from __future__ import annotations

from pathlib import Path

import yaml

from sagesched_gateway.config import GatewayConfig, to_mapping

_ENCODER_FILES = ("encoder.onnx", "tokenizer.json")


def find_problems(config: GatewayConfig) -> list[str]:
    """Sentences that name the setting and what to do; empty where all is well."""
    problems = []
    if config.tokenizer is not None and not _names_a_file(Path(config.tokenizer), "tokenizer.json"):
        problems.append(
            f"tokenizer: no tokenizer.json at {config.tokenizer}; name the file or its folder, "
            "or remove the setting"
        )
    template = config.openai.chat_template
    if template is not None and not Path(template).is_file():
        problems.append(f"openai.chatTemplate: no file {template}; name a Jinja file or remove the setting")
    predictor = config.predictor
    if predictor.mode != "None" and predictor.encoder is not None:
        problems += [
            f"predictor.encoder: no file {name} in {predictor.encoder}; name an exported encoder's folder"
            for name in _ENCODER_FILES
            if not (Path(predictor.encoder) / name).is_file()
        ]
    if predictor.history.file is not None and not Path(predictor.history.file).is_file():
        problems.append(f"predictor.history.file: no file {predictor.history.file}; remove it to start empty")
    return problems


def _names_a_file(path: Path, in_folder: str) -> bool:
    return path.is_file() or (path / in_folder).is_file()


def shown(config: GatewayConfig) -> str:
    """The settings in full, as YAML, defaults filled in."""
    return yaml.safe_dump(to_mapping(config), sort_keys=False).rstrip()
