"""The predictor's child process: spoken to by a small script in its place, with all its ways to fail."""

from __future__ import annotations

import sys

import pytest
from dispatch_fakes import ticks, until

from sagesched_gateway.dispatch import prediction
from sagesched_gateway.dispatch.prediction import NoPrediction, PredictionProcess, WorkerOptions
from sagesched_predictor.features import Outcome, PromptFeatures
from sagesched_predictor.messages import Observe, Predict, parse_line

# `--settings {"mode": ...}` chooses the way to behave; the prompt steers single answers.
WORKER = """
import json, os, sys, time
mode = json.loads(sys.argv[sys.argv.index("--settings") + 1])["mode"]
say = lambda message: print(json.dumps(message), flush=True)
if mode == "complain":
    say({"op": "note", "message": "no encoder there"})
if mode in ("crash", "complain"):
    sys.exit(3)
say({"op": "ready", "provider": "CPUExecutionProvider", "fallback": "no GPU", "history": 5,
     "pool": [[10.0, 0.5], [20.0, 0.5]]})
for line in sys.stdin:
    with open(__file__ + ".heard", "a") as heard:
        heard.write(line)
    message = json.loads(line)
    prompt = message["prompt"]
    if message["op"] == "observe":
        say({"op": "pool", "pairs": [[float(message["output_tokens"]), 1.0]]})
    elif prompt == "die":
        os._exit(7)
    elif prompt == "hang":
        time.sleep(3600)
    elif prompt == "garbage":
        print("this is no JSON", flush=True)
    elif prompt == "endless":
        print("x" * 3_000_000, flush=True)
    elif prompt == "infinite":
        say({"op": "prediction", "id": message["id"], "pairs": [], "source": "history",
             "neighbours": float("inf"), "seconds": 0.001})
    elif prompt == "deep":
        print("[" * 100_000, flush=True)
    elif prompt == "refuse":
        say({"op": "error", "id": message["id"], "message": "cannot"})
    elif prompt != "silence":
        pairs = [] if prompt == "unknown" else [[0.0 if prompt == "never" else float(len(prompt)), 1.0]]
        say({"op": "prediction", "id": message["id"], "pairs": pairs, "source": "history",
             "neighbours": 1, "seconds": 0.001})
"""


class Listener:
    def __init__(self):
        self.predictions = {}
        self.pools = []
        self.failures = []

    def predicted(self, request_id, prediction):
        self.predictions[request_id] = prediction

    def pool_changed(self, distribution):
        self.pools.append(distribution)

    def prediction_failed(self, request_id, reason):
        self.failures.append(reason)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(prediction, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(prediction, "HANG_DEADLINES", 1.0)


@pytest.fixture
async def start(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    started = []

    async def start(mode="normal", timeout_s=5.0):
        process = PredictionProcess(
            WorkerOptions(settings={"mode": mode}, timeout_s=timeout_s, command=(sys.executable, str(script)))
        )
        listener = Listener()
        process.listen(listener)
        await process.start()
        started.append(process)
        return process, listener

    yield start
    for process in started:
        await process.close()


def features(prompt):
    return PromptFeatures(prompt=prompt, prompt_tokens=3, max_tokens=10, model="m")


async def ready(process):
    await until(lambda: process.state().state == "ready")


async def test_it_tells_what_it_is_when_ready(start):
    process, listener = await start()
    assert process.state().state == "starting"
    await ready(process)
    state = process.state()
    assert (state.provider, state.fallback, state.history) == ("CPUExecutionProvider", "no GPU", 5)
    assert listener.pools[0].mean == 15.0


async def test_all_that_is_known_of_a_request_reaches_the_process(start, tmp_path):
    process, listener = await start()
    await ready(process)
    known = PromptFeatures(
        prompt="four",
        prompt_tokens=3,
        max_tokens=10,
        model="m",
        temperature=0.5,
        top_p=0.9,
        system_prompt="Be brief.",
        has_tools=True,
        wants_json=True,
        thinking=True,
        tenant="acme",
    )
    outcome = Outcome(output_tokens=7, censored=True)
    process.predict("1", known)
    process.observe("1", known, outcome)
    await until(lambda: len(listener.predictions) == 1 and len(listener.pools) == 2)
    asked, told = (tmp_path / "worker.py.heard").read_bytes().splitlines()
    assert parse_line(asked) == Predict("1", known)
    assert parse_line(told) == Observe("1", known, outcome)


async def test_an_answer_reaches_the_listener(start):
    process, listener = await start()
    await ready(process)
    process.predict("1", features("four"))
    process.predict("2", features("unknown"))
    await until(lambda: len(listener.predictions) == 2)
    assert listener.predictions["1"].distribution.mean == 4.0
    assert listener.predictions["1"].seconds > 0
    assert listener.predictions["2"].distribution is None


async def test_an_observation_may_change_the_pool(start):
    process, listener = await start()
    await ready(process)
    process.observe("1", features("x"), Outcome(output_tokens=77, censored=False))
    await until(lambda: len(listener.pools) == 2)
    assert listener.pools[1].mean == 77.0
    assert process.state().history == 6


@pytest.mark.parametrize("prompt", ["refuse"])
async def test_an_error_of_the_worker_is_counted(start, prompt):
    process, listener = await start()
    await ready(process)
    process.predict("1", features(prompt))
    await until(lambda: listener.failures == ["error"])


@pytest.mark.parametrize("nonsense", ["garbage", "endless", "infinite", "deep"])
async def test_a_line_that_makes_no_sense_is_left_out(start, nonsense):
    process, listener = await start()
    await ready(process)
    process.predict("1", features(nonsense))
    process.predict("2", features("fine"))
    await until(lambda: "2" in listener.predictions)


@pytest.mark.parametrize("nonsense", ["garbage", "infinite", "never"])
async def test_an_answer_that_makes_no_sense_is_counted_as_none(start, monkeypatch, nonsense):
    monkeypatch.setattr(prediction, "HANG_DEADLINES", 100.0)
    process, listener = await start(timeout_s=0.2)
    await ready(process)
    process.predict("1", features(nonsense))
    process.predict("2", features("fine"))
    await until(lambda: listener.failures and "2" in listener.predictions)
    assert listener.failures == ["timeout"]


async def test_a_process_that_dies_is_started_again_and_its_debts_are_counted(start):
    process, listener = await start()
    await ready(process)
    process.predict("1", features("die"))
    await until(lambda: process.state().restarts == 1)
    assert "down" in listener.failures
    await ready(process)
    process.predict("2", features("fine"))
    await until(lambda: "2" in listener.predictions)


async def test_an_answer_that_does_not_come_in_time_is_counted_and_the_process_lives(start, monkeypatch):
    monkeypatch.setattr(prediction, "HANG_DEADLINES", 1e9)
    process, listener = await start(timeout_s=0.05)
    await ready(process)
    process.predict("1", features("silence"))
    await until(lambda: listener.failures == ["timeout"])
    assert process.state().restarts == 0


async def test_a_process_that_hangs_is_killed_and_started_again(start):
    process, listener = await start(timeout_s=0.05)
    await ready(process)
    process.predict("1", features("hang"))
    await until(lambda: process.state().restarts == 1)
    assert listener.failures == ["timeout"]
    await ready(process)


async def test_a_process_that_cannot_start_is_tried_again_and_again(start):
    process, _ = await start(mode="crash")
    await until(lambda: process.state().restarts >= 2)
    assert process.state().state == "restarting"
    assert process.state().problem == "the predictor exited with code 3"


async def test_why_a_process_cannot_start_is_told_as_long_as_it_cannot(start):
    process, _ = await start(mode="complain")
    await until(lambda: process.state().restarts >= 2)
    await until(lambda: process.state().state == "restarting")
    assert process.state().problem == "no encoder there"


async def test_a_program_that_is_not_there_is_no_catastrophe():
    process = PredictionProcess(WorkerOptions(settings={}, command=("/nowhere/at/all",)))
    process.listen(Listener())
    await process.start()
    await until(lambda: process.state().restarts >= 1)
    await process.close()


async def test_without_a_process_nothing_is_asked():
    process = PredictionProcess(WorkerOptions(settings={}))
    listener = Listener()
    process.listen(listener)
    process.predict("1", features("x"))
    process.observe("1", features("x"), Outcome(output_tokens=1, censored=False))
    assert listener.failures == ["down"]


async def test_with_too_much_owed_nothing_more_is_asked(start, monkeypatch):
    monkeypatch.setattr(prediction, "MOST_OWED", 1)
    process, listener = await start()
    await ready(process)
    process.predict("1", features("silence"))
    process.predict("2", features("fine"))
    assert listener.failures == ["overload"]


async def test_closing_ends_the_process_by_its_input(start):
    process, _ = await start()
    await ready(process)
    child = process._process
    await process.close()
    assert child.returncode == 0


async def test_closing_kills_a_process_that_does_not_listen(start, monkeypatch):
    monkeypatch.setattr(prediction, "_CLOSE_S", 0.05)
    process, _ = await start()
    await ready(process)
    process.predict("1", features("hang"))
    child = process._process
    await ticks()
    await process.close()
    assert child.returncode is not None


async def test_mode_none_is_off_and_silent():
    off = NoPrediction()
    off.listen(Listener())
    await off.start()
    off.predict("1", features("x"))
    off.observe("1", features("x"), Outcome(output_tokens=1, censored=False))
    assert off.state().state == "off"
    await off.close()
