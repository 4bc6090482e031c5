"""What `sagesched-gateway check` finds beyond the file's own form: files that are not there or of no use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import yaml

from sagesched_gateway.api.openai.chat_template import ChatTemplate, find_template
from sagesched_gateway.settings.config import GatewayConfig, to_mapping
from sagesched_gateway.settings.sections.listen import TlsConfig
from sagesched_gateway.settings.sections.predictor import PredictorConfig
from sagesched_gateway.tls.certificates import CertificateError, load

_ENCODER_FILES = ("encoder.onnx", "tokenizer.json")
_TOKENIZER_FILE = "tokenizer.json"
_FACES = ("grpc", "http", "metrics")


def find_problems(config: GatewayConfig) -> list[str]:
    """Sentences that name the setting and what to do; empty where all is well."""
    return [
        *_addresses(config),
        *_tls(config.listen.tls),
        *_tokenizer(config.tokenizer),
        *_predictor(config.predictor),
        *_chat_template(config.openai.chat_template, config.tokenizer),
        *_recorder(config.recorder.file),
    ]


def shown(config: GatewayConfig) -> str:
    """The settings in full, as YAML, defaults filled in."""
    return yaml.safe_dump(to_mapping(config), sort_keys=False).rstrip()


def _addresses(config: GatewayConfig) -> Iterator[str]:
    """Ports of this machine that two would listen on: the gateway's, and Triton's where it is here too."""
    listen, triton = config.listen, config.triton
    named = [
        *((f"listen.{name}", getattr(listen, name)) for name in _FACES),
        *((f"triton.{name}", getattr(triton, name)) for name in _FACES if _is_local(getattr(triton, name))),
    ]
    taken: dict[str, str] = {}
    for name, address in named:
        port = address.rpartition(":")[2]
        if port == "0":
            continue
        if port in taken:
            yield f"{name}: {taken[port]} has port {port} too; give each its own"
        taken.setdefault(port, name)


def _is_local(address: str) -> bool:
    return address.rpartition(":")[0] in {"localhost", "127.0.0.1", "[::1]"}


def _tls(tls: TlsConfig) -> Iterator[str]:
    if tls.folder is None:
        return
    try:
        load(Path(tls.folder), asks_clients=tls.require_client_certificates)
    except CertificateError as error:
        yield f"listen.tls: {error}"


def _tokenizer(tokenizer: str | None) -> Iterator[str]:
    if tokenizer is None or Path(tokenizer).is_file() or (Path(tokenizer) / _TOKENIZER_FILE).is_file():
        return
    yield (
        f"tokenizer: no {_TOKENIZER_FILE} at {tokenizer}; name the file or its folder, or remove the setting"
    )


def _predictor(predictor: PredictorConfig) -> Iterator[str]:
    if predictor.mode != "None" and predictor.encoder is not None:
        for name in _ENCODER_FILES:
            if not (Path(predictor.encoder) / name).is_file():
                yield (
                    f"predictor.encoder: no file {name} in {predictor.encoder}; "
                    "name an exported encoder's folder"
                )
    snapshot = predictor.history.snapshot
    if snapshot is not None and not os.access(Path(snapshot).parent, os.W_OK | os.X_OK):
        folder = Path(snapshot).parent
        yield f"predictor.history.snapshot: {folder} is no folder to write to; make it, or mount one"
    if predictor.history.file is not None and not Path(predictor.history.file).is_file():
        yield f"predictor.history.file: no file {predictor.history.file}; remove it to start empty"


def _chat_template(template: str | None, tokenizer: str | None) -> Iterator[str]:
    if template is not None and not Path(template).is_file():
        yield f"openai.chatTemplate: no file {template}; name a Jinja file or remove the setting"
        return
    try:
        found = find_template(template, tokenizer)
        if found is not None:
            ChatTemplate(found)
    except ValueError as error:
        yield f"{error}; correct the file, or name another with openai.chatTemplate"


def _recorder(file: str | None) -> Iterator[str]:
    if file is None:
        return
    folder = Path(file).parent
    if not folder.is_dir():
        yield f"recorder.file: no folder {folder}; make it, or mount a volume there"
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield f"recorder.file: {folder} cannot be written; let the gateway's user write there"
    if Path(file).is_symlink() or Path(file).is_dir():
        yield f"recorder.file: {file} is not a plain file; links are not followed, name the file itself"
