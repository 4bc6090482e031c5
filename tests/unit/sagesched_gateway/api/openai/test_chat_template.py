"""Templates as models bring them, where they are found, and what they may not do."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from sagesched_gateway.api.openai.chat_template import ChatTemplate, TemplateSource, find_template
from sagesched_gateway.errors import InvalidRequestError, TooLargeError

LLAMA = """{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" + system_message + "<|eot_id|>" }}
{%- for message in messages %}
    {%- set head = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' %}
    {{- head + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

USER = {"role": "user", "content": "Hi"}


def rendered(text: str, *messages: dict[str, str], max_characters: int = 10_000, **tokens: str) -> str:
    template = ChatTemplate(TemplateSource(text=text, special_tokens=tokens))
    return template.render(messages or (USER,), max_characters=max_characters)


def test_a_template_of_llamas_kind_renders_without_its_bos():
    system = {"role": "system", "content": " Be short. "}
    assert rendered(LLAMA, system, USER, bos_token="<|begin_of_text|>") == (
        "<|start_header_id|>system<|end_header_id|>\n\nBe short.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_one_bos_is_taken_off_and_no_more():
    assert rendered("{{ bos_token }}{{ bos_token }}x", bos_token="<s>") == "<s>x"
    assert rendered("x{{ bos_token }}", bos_token="<s>") == "x<s>"
    assert rendered("<s>x") == "<s>x"


def test_blocks_are_trimmed_and_loops_controlled():
    text = (
        "{% for m in messages %}\n    {% if loop.index == 2 %}{% break %}{% endif %}\n"
        "{{ m.content }}\n{% endfor %}\n."
    )
    assert rendered(text, USER, USER, USER) == "Hi\n."


def test_the_functions_of_hugging_face_are_there():
    assert rendered("{{ strftime_now('%Y') }}") == str(datetime.now().year)
    assert rendered("{{ {'a': 'é<'} | tojson }}") == '{"a": "é<"}'
    assert rendered("{% generation %}{{ messages[0].content }}{% endgeneration %}") == "Hi"
    assert rendered("{% if tools is not none %}x{% endif %}{{ eos_token }}", eos_token="</s>") == "</s>"


def test_a_template_may_refuse():
    with pytest.raises(InvalidRequestError, match="roles must alternate") as caught:
        rendered("{{ raise_exception('roles must alternate') }}")
    assert caught.value.field == "messages"


@pytest.mark.parametrize(
    "text",
    [
        "{{ messages.append(1) }}",
        "{{ messages.__class__.__mro__ }}",
        "{% for i in range(10000000) %}{% endfor %}",
        "{{ messages[7].content }}",
        "{{ 1 / 0 }}",
        "{{ messages[0].content + 1 }}",
    ],
)
def test_what_goes_wrong_inside_is_an_invalid_request(text):
    with pytest.raises(InvalidRequestError, match="chat template"):
        rendered(text)


def test_messages_are_values_only():
    assert rendered("{{ messages[0].content }}", {"role": "user", "content": "{{ 7 * 7 }}"}) == "{{ 7 * 7 }}"


def test_a_prompt_is_bounded():
    with pytest.raises(TooLargeError):
        rendered("{% for i in range(1000) %}{{ messages[0].content }}{% endfor %}", max_characters=1000)


def test_developers_speak_as_the_system_where_a_template_knows_only_that():
    developer = {"role": "developer", "content": "x"}
    assert rendered("{{ messages[0].role }}", developer) == "system"
    assert rendered("{# developer #}{{ messages[0].role }}", developer) == "developer"


def test_a_broken_template_is_told_by_its_line():
    with pytest.raises(ValueError, match="chat template: line 2"):
        ChatTemplate(TemplateSource(text="\n{% if %}"))


def test_a_template_is_found_where_models_keep_it(tmp_path):
    folder, config = tmp_path, tmp_path / "tokenizer_config.json"
    assert find_template(None, None) is None
    assert find_template(None, str(folder)) is None
    config.write_text(
        json.dumps({"chat_template": "plain", "bos_token": {"content": "<s>"}, "eos_token": None})
    )
    assert find_template(None, str(folder)) == TemplateSource(
        text="plain", special_tokens={"bos_token": "<s>"}
    )
    assert find_template(None, str(folder / "tokenizer.json")) == find_template(None, str(folder))
    named = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    config.write_text(json.dumps({"chat_template": named}))
    assert find_template(None, str(folder)) == TemplateSource(text="d")
    (folder / "chat_template.jinja").write_text("own file")
    assert find_template(None, str(folder)) == TemplateSource(text="own file")
    (folder / "mine.jinja").write_text("mine")
    assert find_template(str(folder / "mine.jinja"), str(folder)) == TemplateSource(text="mine")


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_broken_configuration_is_refused_by_its_path(tmp_path, text):
    (tmp_path / "tokenizer_config.json").write_text(text)
    with pytest.raises(ValueError, match=r"tokenizer_config\.json"):
        find_template(None, str(tmp_path))


def test_a_missing_template_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"none\.jinja"):
        find_template(str(tmp_path / "none.jinja"), None)
