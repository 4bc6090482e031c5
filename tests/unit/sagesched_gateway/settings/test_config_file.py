from __future__ import annotations

import pytest

from sagesched_gateway.settings.config_file import ConfigFileError, load_config, parse_config_text


def complaint_about(text: str) -> str:
    with pytest.raises(ConfigFileError) as caught:
        parse_config_text(text, "gateway.yaml")
    return str(caught.value)


def test_a_file_is_read(tmp_path):
    path = tmp_path / "gateway.yaml"
    path.write_text("scheduling: {policy: fcfs}\npredictor:\n  mode: None\nengine:\n")
    config = load_config(path)
    assert config.scheduling.policy == "fcfs"
    assert config.predictor.mode == "None"


def test_a_wrong_setting_is_blamed_on_its_line():
    text = "predictor: {mode: None}\nscheduling:\n  # order\n  policy: shortest\n"
    assert complaint_about(text).startswith("gateway.yaml:4: scheduling.policy: unknown policy 'shortest'")


def test_every_mistake_of_a_file_is_told_at_once():
    text = "scheduling:\n  policy: shortest\n  tailWeight: heavy\npredictor: {mode: Artifact}\nlimit: {}\n"
    starts = ("gateway.yaml:5: limit: unknown", "gateway.yaml:2: scheduling.policy: unknown policy")
    starts += ("gateway.yaml:3: scheduling.tailWeight: must be", "gateway.yaml:4: predictor.encoder: missing")
    for line, start in zip(complaint_about(text).splitlines(), starts, strict=True):
        assert line.startswith(start)


def test_a_missing_setting_is_blamed_on_its_section():
    complaint = complaint_about("\npredictor:\n  mode: Artifact\n")
    assert complaint.startswith("gateway.yaml:2: predictor.encoder: missing")


@pytest.mark.parametrize("number", ["1" + "0" * 400, "-1" + "0" * 400, "0x1" + "0" * 5000])
@pytest.mark.parametrize(
    "setting",
    ["limits.queuedSeconds", "limits.queuedRequests", "engine.slots", "tenants.weights.a", "limits.fullCode"],
)
def test_a_number_of_hundreds_of_digits_is_a_mistake_like_others(setting, number):
    *sections, name = setting.split(".")
    text = "".join(f"{'  ' * depth}{section}:\n" for depth, section in enumerate(sections))
    complaint = complaint_about(f"{text}{'  ' * len(sections)}{name}: {number}")
    assert complaint.startswith(f"gateway.yaml:{len(sections) + 1}: {setting}: ")


def test_a_port_of_hundreds_of_digits_is_none():
    text = f"listen: {{grpc: '127.0.0.1:{'9' * 5000}'}}\ntraces: {{endpoint: 'http://a:{'9' * 5000}'}}"
    for line, setting in zip(
        complaint_about(text).splitlines(), ("listen.grpc", "traces.endpoint"), strict=True
    ):
        assert f"{setting}: must be" in line


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("listen: [", "gateway.yaml:1: not valid YAML: "),
        ("a: 1\n\tb: 2", "gateway.yaml:2: not valid YAML: "),
        ("drain: {}\ndrain: {}", "gateway.yaml:2: not valid YAML: the setting 'drain' is given twice"),
        ("a: [{b: 1, b: 2}]", "gateway.yaml:1: not valid YAML: the setting 'b' is given twice"),
        ("a: &a [*a]", "gateway.yaml:1: a: unknown setting"),
        ("- 1\n- 2", "gateway.yaml: must hold a mapping of settings, not list"),
        ("a: \x00", "gateway.yaml: not valid YAML: "),
        ("a: " + "[" * 3000, "gateway.yaml: not valid YAML: nested too deep"),
        ("a: 2001-99-99", "gateway.yaml: not valid YAML: a value cannot be read: month must be in 1..12"),
        ("a: 1" + "0" * 5000, "gateway.yaml: not valid YAML: a value cannot be read: "),
    ],
)
def test_text_that_is_no_settings_is_refused(text, complaint):
    assert complaint_about(text).startswith(complaint)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigFileError, match=r"missing\.yaml: cannot be read: No such file"):
        load_config(tmp_path / "missing.yaml")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"a: \xff")
    with pytest.raises(ConfigFileError, match=r"is not UTF-8 text \(byte 3\)"):
        load_config(binary)
