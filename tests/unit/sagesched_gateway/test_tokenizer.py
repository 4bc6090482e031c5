"""Loading the served model's tokenizer."""

from __future__ import annotations

import pytest

from sagesched_emulator.tokenizer import TOKENIZER_PATH
from sagesched_gateway.tokenizer import ModelTokenizer


def test_a_file_and_its_folder_are_the_same():
    by_file, by_folder = ModelTokenizer(str(TOKENIZER_PATH)), ModelTokenizer(str(TOKENIZER_PATH.parent))
    assert by_file.encode("a river") == by_folder.encode("a river")
    assert by_file.end_id is None


@pytest.mark.parametrize("content", ["", "{}", "not json"])
def test_another_file_is_refused_by_name(tmp_path, content):
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"other\.json.*tokenizer"):
        ModelTokenizer(str(path))


@pytest.mark.parametrize("name", ["", "none.json"])
def test_a_missing_file_is_refused_by_name(tmp_path, name):
    with pytest.raises(ValueError, match="cannot be read"):
        ModelTokenizer(str(tmp_path / name))


@pytest.mark.parametrize("content", ["{}", '{"eos_token": null}', '{"eos_token": "unheard of"}', "[]"])
def test_a_model_without_an_end_token_is_one_without(tmp_path, content):
    (tmp_path / "tokenizer.json").write_bytes(TOKENIZER_PATH.read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(content)
    assert ModelTokenizer(str(tmp_path)).end_id is None
