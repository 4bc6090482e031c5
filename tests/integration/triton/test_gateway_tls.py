"""TLS of a real gateway: tritonclient, OpenAI's client, curl; certificates renewed under running streams."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import gevent.ssl
import grpc
import numpy as np
import openai
import pytest
import tritonclient.grpc
import tritonclient.http

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "unit/sagesched_gateway/tls"))

from authority import Authority, Issued, SecretMount, serial_of
from gateway_process import WAIT_S, GatewayProcess, settings_for, until

from sagesched_emulator.triton_server import TritonServer

AUTHORITY = Authority()
FIRST = AUTHORITY.issue()
CALLER = AUTHORITY.issue("caller")
CUT_OFF = (35, 52, 56)
"""curl's exit codes; with TLS 1.3 it learns of a refusal only with the first read."""


class Secured:
    """A gateway with TLS, its certificates, and what its callers need."""

    def __init__(self, triton: TritonServer, folder: Path, *, asks_clients: bool = False) -> None:
        more = {"ca": AUTHORITY.pem} if asks_clients else {}
        self.secret = SecretMount(folder / "tls", crt=FIRST.certificate, key=FIRST.key, **more)
        tls = {"folder": str(self.secret.folder), "requireClientCertificates": asks_clients}
        settings = settings_for(triton, openai={"servedName": "llama", "defaultMaxTokens": 4000})
        settings["listen"] |= {"tls": tls}
        self.gateway = GatewayProcess(settings, folder)
        self.gateway.wait_ready()
        self.roots = folder / "roots.pem"
        self.roots.write_bytes(AUTHORITY.pem)
        self.caller = (folder / "caller.crt", folder / "caller.key")
        self.caller[0].write_bytes(CALLER.certificate)
        self.caller[1].write_bytes(CALLER.key)

    @property
    def url(self) -> str:
        return f"https://{self.gateway.http_address}"

    def context(self, caller: bool = False) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=AUTHORITY.pem.decode())
        if caller:
            context.load_cert_chain(*self.caller)
        return context

    def channel(self, caller: Issued | None = None) -> grpc.Channel:
        own = (None, None) if caller is None else (caller.key, caller.certificate)
        return grpc.secure_channel(
            self.gateway.grpc_address, grpc.ssl_channel_credentials(AUTHORITY.pem, *own)
        )

    def shown(self) -> tuple[int, int]:
        """Serial numbers that new callers see at gRPC and at HTTP."""
        grpc_pem, http_pem = (
            ssl.get_server_certificate((host, int(port)))
            for host, _, port in (
                self.gateway.grpc_address.rpartition(":"),
                self.gateway.http_address.rpartition(":"),
            )
        )
        return serial_of(grpc_pem), serial_of(http_pem)

    def curl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["curl", "-sS", "-m", "20", *arguments], capture_output=True, text=True, check=False
        )


@pytest.fixture
def start(direct_triton: TritonServer, tmp_path: Path) -> Iterator[Callable[..., Secured]]:
    started: list[Secured] = []

    def start(**options: Any) -> Secured:
        started.append(Secured(direct_triton, tmp_path, **options))
        return started[-1]

    yield start
    for secured in started:
        secured.gateway.close()


def inputs_of(prompt: str, max_tokens: int) -> list[Any]:
    inputs = []
    for name, kind, value in (
        ("text_input", "BYTES", np.array([[prompt.encode()]], dtype=np.object_)),
        ("max_tokens", "INT32", np.array([[max_tokens]], dtype=np.int32)),
        ("stream", "BOOL", np.array([[True]])),
    ):
        inputs.append(tritonclient.grpc.InferInput(name, [1, 1], kind))
        inputs[-1].set_data_from_numpy(value)
    return inputs


def triton_http(secured: Secured) -> tritonclient.http.InferenceServerClient:
    return tritonclient.http.InferenceServerClient(
        secured.gateway.http_address,
        ssl=True,
        ssl_options={"ca_certs": str(secured.roots)},
        ssl_context_factory=gevent.ssl.create_default_context,
    )


def openai_client(secured: Secured, context: ssl.SSLContext) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{secured.url}/v1",
        api_key="none",
        max_retries=0,
        http_client=openai.DefaultHttpxClient(verify=context),
    )


def test_clients_work_as_they_are_and_others_are_turned_away(start, known):
    secured = start()
    prompt, tokens = known.short.prompt, known.short.output_tokens[0]
    client = tritonclient.grpc.InferenceServerClient(
        secured.gateway.grpc_address, ssl=True, root_certificates=str(secured.roots)
    )
    assert client.is_server_ready()
    answers: Queue[Any] = Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    client.async_stream_infer("ensemble", inputs_of(prompt, 64))
    result, error = answers.get(timeout=WAIT_S)
    assert error is None
    assert result.as_numpy("text_output").size
    client.stop_stream()
    client.close()

    with triton_http(secured) as over_http:
        assert over_http.is_server_ready()
        assert over_http.get_model_metadata("ensemble")["name"] == "ensemble"
    body = json.dumps({"text_input": prompt, "max_tokens": 64})
    generate = (f"{secured.url}/v2/models/ensemble/generate", "-d", body, "--cacert", str(secured.roots))
    assert json.loads(secured.curl("-f", *generate).stdout)["text_output"]

    with openai_client(secured, secured.context()) as official:
        answer = official.completions.create(model="llama", prompt=prompt, max_tokens=64)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == tokens

    done = secured.curl("--cacert", str(secured.roots), f"{secured.url}/v2/health/ready", "-f")
    assert done.returncode == 0, done.stderr
    assert secured.curl(f"{secured.url}/v2/health/ready").returncode == 60  # an unknown authority
    assert secured.curl(f"http://{secured.gateway.http_address}/v2/health/ready").returncode != 0
    old = ("--tls-max", "1.1", "--cacert", str(secured.roots))
    assert secured.curl(*old, f"{secured.url}/v2/health/ready").returncode == 35
    with grpc.insecure_channel(secured.gateway.grpc_address) as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary("/inference.GRPCInferenceService/ServerReady")(b"", timeout=5)

    # Probes, operator and Prometheus read the metrics port, which stays plain.
    status = secured.gateway.status()["tls"]
    assert status["enabled"]
    assert status["problem"] == ""
    with urllib.request.urlopen(f"http://{secured.gateway.metrics}/metrics", timeout=WAIT_S) as answer:
        text = answer.read().decode()
    assert "sagesched_gateway_tls_files_valid 1.0" in text
    name = "sagesched_gateway_tls_certificate_expires_timestamp_seconds "
    told = next(line for line in text.splitlines() if line.startswith(name))
    assert float(told.removeprefix(name)) == status["expires_at"]


def test_renewed_certificates_are_shown_to_new_callers_and_running_streams_go_on(start, known):
    secured = start()
    first = serial_of(FIRST.certificate)
    assert secured.shown() == (first, first)
    client = tritonclient.grpc.InferenceServerClient(
        secured.gateway.grpc_address, ssl=True, root_certificates=str(secured.roots)
    )
    answers: Queue[Any] = Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    client.async_stream_infer(
        "ensemble",
        inputs_of(known.very_long.prompt, 2000),
        enable_empty_final_response=True,
    )
    with openai_client(secured, secured.context()) as official:
        stream = official.completions.create(
            model="llama", prompt=known.very_long.prompt, max_tokens=2000, stream=True
        )
        assert next(iter(stream)).choices

        second = AUTHORITY.issue()
        secured.secret.swap(crt=second.certificate, key=FIRST.key)
        until(lambda: secured.gateway.status()["tls"]["problem"])
        assert "tls.key: is not the key of the first" in secured.gateway.status()["tls"]["problem"]
        assert secured.shown() == (first, first)

        secured.secret.swap(crt=second.certificate, key=second.key)
        serial = serial_of(second.certificate)
        until(lambda: secured.shown() == (serial, serial))
        assert secured.gateway.status()["tls"]["problem"] == ""

        texts = sum(1 for chunk in stream if chunk.choices and chunk.choices[0].text)
    assert texts > 100
    num_answers = 0
    while True:
        result, error = answers.get(timeout=WAIT_S)
        assert error is None
        num_answers += 1
        if result.get_response().parameters["triton_final_response"].bool_param:
            break
    assert num_answers > 100
    client.stop_stream()
    client.close()


def test_callers_must_show_a_certificate_where_that_is_asked(start):
    secured = start(asks_clients=True)
    ready = "/inference.GRPCInferenceService/ServerReady"
    with secured.channel(CALLER) as channel:
        assert channel.unary_unary(ready)(b"", timeout=WAIT_S)
    with secured.channel() as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary(ready)(b"", timeout=5)
    stranger = Authority("another").issue()
    with secured.channel(stranger) as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary(ready)(b"", timeout=5)
    get = ("--cacert", str(secured.roots), "-f", f"{secured.url}/v2/health/ready")
    own = ("--cert", str(secured.caller[0]), "--key", str(secured.caller[1]))
    assert secured.curl(*own, *get).returncode == 0
    assert secured.curl(*get).returncode in CUT_OFF
    with openai_client(secured, secured.context(caller=True)) as official:
        assert [model.id for model in official.models.list()] == ["llama"]

    # Whoever was trusted before a change of the roots is not trusted after it.
    other = Authority("new")
    secured.secret.swap(crt=FIRST.certificate, key=FIRST.key, ca=other.pem)
    until(lambda: secured.curl(*own, *get).returncode in CUT_OFF)
    with secured.channel(CALLER) as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary(ready)(b"", timeout=5)
    with secured.channel(other.issue()) as channel:
        assert channel.unary_unary(ready)(b"", timeout=WAIT_S)


def test_a_gateway_does_not_start_with_certificates_that_cannot_be_used(tmp_path):
    secret = SecretMount(tmp_path / "tls", crt=FIRST.certificate, key=CALLER.key)
    config = tmp_path / "gateway.yaml"
    config.write_text(
        json.dumps({"listen": {"tls": {"folder": str(secret.folder)}}, "predictor": {"mode": "None"}})
    )
    for command, code in (("serve", 1), ("check", 2)):
        done = subprocess.run(
            [sys.executable, "-m", "sagesched_gateway.cli", command, "--config", str(config)],
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert done.returncode == code
        assert done.stderr.splitlines()[-1] == (
            f"sagesched-gateway: listen.tls: {secret.folder}/tls.key: "
            "is not the key of the first certificate in tls.crt"
        )
