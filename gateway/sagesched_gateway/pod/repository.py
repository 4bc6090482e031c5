"""Triton's model repository as links into a model's files, with the engine's KV policy written in.

The files may be many and read-only, and are shared; only configuration is written anew:

- classic (`config.pbtxt` of a TensorRT-LLM engine): parameter `batch_scheduler_policy`
- LLM API (`model.yaml`): `scheduler_config.capacity_scheduler_policy`
- vLLM knows no such choice: its engine always grows KV as it goes
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import yaml

_CLASSIC = {"MaxUtilization": "max_utilization", "GuaranteedNoEvict": "guaranteed_no_evict"}
_LLMAPI = {"MaxUtilization": "MAX_UTILIZATION", "GuaranteedNoEvict": "GUARANTEED_NO_EVICT"}

_POLICY = re.compile(
    r'(key\s*:\s*"batch_scheduler_policy"\s*,?\s*value\s*:?\s*\{\s*string_value\s*:\s*)"[^"]*"', re.DOTALL
)
_IS_ENGINE = re.compile(r'^\s*backend\s*:\s*"tensorrtllm"|key\s*:\s*"gpt_model_type"', re.MULTILINE)


class RepositoryError(ValueError):
    """The repository cannot be laid out; the message says what to do."""


def lay_out(source: Path, target: Path, kv_policy: str) -> list[str]:
    """Fill `target` with links to what `source` holds, and with changed configuration.

    Args:
        source: a Triton model repository.
        target: an empty folder, or one that was filled before.
        kv_policy: `MaxUtilization` or `GuaranteedNoEvict`.

    Returns:
        Paths, relative to `target`, of files in which the policy was set.

    Raises:
        RepositoryError: `source` holds no model.
    """
    models = [folder for folder in sorted(source.iterdir()) if _is_model(folder)] if source.is_dir() else []
    if not models:
        raise RepositoryError(
            f"{source}: holds no model folders (with config.pbtxt, or a version such as 1/); "
            "is spec.model.repository right?"
        )
    for old in target.iterdir():
        shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    return [
        str(path)
        for model in models
        for path in _lay_out_model(model, target / model.name, kv_policy, target)
    ]


def _is_model(folder: Path) -> bool:
    """Triton ends over a folder that is none: a tokenizer beside the models, `lost+found` of a volume."""
    try:
        entries = list(folder.iterdir())
    except OSError:  # a file, or nothing that we may read
        return False
    return any(entry.name == "config.pbtxt" or entry.name.isdecimal() for entry in entries)


def _lay_out_model(source: Path, target: Path, kv_policy: str, root: Path) -> Iterator[Path]:
    target.mkdir()
    for entry in sorted(source.iterdir()):
        place = target / entry.name
        if entry.is_dir() and (entry / "model.yaml").is_file():
            yield from _lay_out_model(entry, place, kv_policy, root)
            continue
        changed = _changed(entry, kv_policy)
        if changed is None:
            place.symlink_to(entry)
        else:
            place.write_text(changed, encoding="utf-8")
            yield place.relative_to(root)


def _changed(file: Path, kv_policy: str) -> str | None:
    """The file's text with the policy, or None where the file has nothing to do with it."""
    if file.name == "config.pbtxt":
        return _classic(file.read_text(encoding="utf-8"), _CLASSIC[kv_policy])
    if file.name == "model.yaml":
        return _llmapi(file, _LLMAPI[kv_policy])
    return None


def _classic(text: str, policy: str) -> str | None:
    changed, count = _POLICY.subn(rf'\g<1>"{policy}"', text)
    if count:
        return changed
    if not _IS_ENGINE.search(text):
        return None
    parameter = f'parameters: {{ key: "batch_scheduler_policy" value: {{ string_value: "{policy}" }} }}'
    return f"{text.rstrip()}\n{parameter}\n"


def _llmapi(file: Path, policy: str) -> str:
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise RepositoryError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict):
        raise RepositoryError(f"{file}: must hold a mapping, not {type(settings).__name__}")
    scheduler = settings.get("scheduler_config") or {}
    settings["scheduler_config"] = {**scheduler, "capacity_scheduler_policy": policy}
    return yaml.safe_dump(settings, sort_keys=False)
