"""What a log line looks like, and what never gets into one."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import warnings

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sagesched_gateway.log_fields import about
from sagesched_gateway.logs import start_logging, use_level
from sagesched_gateway.request import GenerationRequest
from sagesched_gateway.settings.sections.log import LogConfig

_LOG = logging.getLogger("sagesched_gateway.test")


pytestmark = pytest.mark.usefixtures("own_logging")


def a_request(client_id="mine"):
    return GenerationRequest(
        upstream_id="sagesched-1",
        client_id=client_id,
        model="m",
        prompt="secret",
        prompt_tokens=None,
        max_tokens=1,
        body=b"secret",
    )


def test_text_is_one_line_with_both_ids(capsys):
    start_logging(LogConfig())
    _LOG.info("it %s", "happened", extra=about(a_request(), queue_s=0.123456789, model="a b", ttft_s=None))
    line = capsys.readouterr().err
    instant, rest = line.split(" ", 1)
    assert instant.endswith("Z")
    assert rest == (
        "INFO sagesched_gateway.test: it happened request=sagesched-1 client_id=mine queue_s=0.123457 "
        'model="a b" ttft_s=None\n'
    )


def test_json_is_one_object_with_both_ids(capsys):
    start_logging(LogConfig(format="JSON"))
    _LOG.warning("é\nforged", extra=about(a_request("x\ny"), queue_s=0.5))
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    fields = json.loads(line)
    assert fields.pop("at").endswith("Z")
    assert fields == {
        "level": "warning",
        "logger": "sagesched_gateway.test",
        "message": "é\nforged",
        "request": "sagesched-1",
        "client_id": "x\ny",
        "queue_s": 0.5,
    }


def test_foreign_words_cannot_forge_a_line(capsys):
    start_logging(LogConfig())
    _LOG.warning(
        "Triton says: %s", "no\n2026 ERROR forged", extra=about(a_request('a" b=c\n\x1b[2J' + "x" * 500))
    )
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "\x1b" not in line
    assert r"no\n2026 ERROR forged" in line
    assert len(line) < 400


def test_the_level_holds_and_may_change(capsys):
    start_logging(LogConfig(level="warning"))
    _LOG.info("quiet")
    use_level("debug")
    _LOG.debug("loud")
    text = capsys.readouterr().err
    assert "quiet" not in text
    assert "loud" in text


def test_starting_again_does_not_double_lines(capsys):
    start_logging(LogConfig())
    start_logging(LogConfig(format="JSON"))
    _LOG.info("once")
    assert capsys.readouterr().err.count("once") == 1


@pytest.mark.parametrize("format", ["Text", "JSON"])
def test_exceptions_are_told_with_their_traceback(capsys, format):
    start_logging(LogConfig(format=format))
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        _LOG.exception("failed")
    text = capsys.readouterr().err
    told = json.loads(text)["exception"] if format == "JSON" else text
    assert "RuntimeError: broken" in told
    assert "Traceback" in told


def test_uncaught_exceptions_and_warnings_are_logged(capsys):
    start_logging(LogConfig())
    error = ValueError("nobody caught me")
    sys.excepthook(ValueError, error, None)
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        logging.captureWarnings(True)
        warnings.warn("careful", UserWarning, stacklevel=1)
    text = capsys.readouterr().err
    assert "CRITICAL sagesched_gateway.logs: uncaught exception" in text
    assert "ValueError: nobody caught me" in text
    assert "ZeroDivisionError" in text
    assert "careful" in text
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert capsys.readouterr().err == ""


async def test_what_aiohttp_could_not_read_is_not_logged(capsys):
    async def handler(_):
        return web.Response()

    start_logging(LogConfig(level="debug"))
    app = web.Application()
    app.router.add_post("/", handler)
    prompt = "my most private question"
    async with TestServer(app) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        # A body that is longer than it says: what is left reads as the next request, which is none.
        writer.write(
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n" + prompt.encode() + b"\r\n\r\n"
        )
        await reader.read()
        writer.close()
        await writer.wait_closed()
    text = capsys.readouterr().err
    assert "Error handling request" in text
    assert "private" not in text
