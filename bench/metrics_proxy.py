"""A page of metrics between Triton and the gateway that can be absent, stale or wrong by a factor."""

from __future__ import annotations

import re
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from capacity_cells import FACTORS, STALE_AFTER_S

_COUNT = re.compile(
    r"^(nv_trt_llm_(?:request_metrics|inflight_batcher_metrics|kv_cache_block_metrics)\{[^}]*\}) (\S+)$",
    re.MULTILINE,
)
_TRUE_WHATEVER = re.compile(r"tokens_per|micro_batch_id|fraction")
_ENGINE_LINE = re.compile(r"^.*nv_trt_llm_.*\n?", re.MULTILINE)


def distorted(text: str, condition: str) -> str:
    """The page as the condition shows it. PURE."""
    if condition in ("absent", "nothing"):
        return _ENGINE_LINE.sub("", text)
    factor = FACTORS.get(condition)
    if factor is None:
        return text

    def wrong(line: re.Match[str]) -> str:
        name, value = line.groups()
        return line.group() if _TRUE_WHATEVER.search(name) else f"{name} {round(float(value) * factor)}"

    return _COUNT.sub(wrong, text)


class MetricsProxy:
    """Serves on a free port of loopback for as long as a `with` lasts."""

    def __init__(self, upstream: str, condition: str, time_scale: float) -> None:
        """Prepare.

        Args:
            upstream: `host:port` of Triton's metrics.
            condition: one of `capacity_cells.METRICS`.
            time_scale: wall seconds per engine second, for how soon metrics go stale.
        """
        self._upstream = f"http://{upstream}/metrics"
        self._condition = condition
        self._stale_at = STALE_AFTER_S * time_scale
        self._first_at: float | None = None
        self._frozen = ""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = proxy.page().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                del format, args

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self._server.server_port}"

    def page(self) -> str:
        """What is shown now."""
        now = time.monotonic()
        if (
            self._condition == "stale"
            and self._first_at is not None
            and now > self._first_at + self._stale_at
        ):
            return self._frozen
        with urllib.request.urlopen(self._upstream, timeout=2) as answer:
            text: str = answer.read().decode()
        if self._first_at is None and "iteration_counter" in text:
            self._first_at = now
        self._frozen = text
        return distorted(text, self._condition)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
