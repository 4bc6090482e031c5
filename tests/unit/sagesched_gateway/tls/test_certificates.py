"""Certificates from files: what is refused, in which words, and how they follow their files."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from authority import Authority, SecretMount

from sagesched_gateway.settings.check import find_problems
from sagesched_gateway.settings.config import parse_config
from sagesched_gateway.settings.section import ConfigError
from sagesched_gateway.tls import follower
from sagesched_gateway.tls.certificates import CertificateError, load
from sagesched_gateway.tls.follower import CertificateFollower

AUTHORITY = Authority()
ISSUED, OTHER = AUTHORITY.issue(), AUTHORITY.issue()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(follower, "LOOK_EACH_S", 0.01)


def mounted(folder, crt=ISSUED.certificate, key=ISSUED.key, **more):
    return SecretMount(folder / "tls", crt=crt, key=key, **more)


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # another's state, without an event
            await asyncio.sleep(0.01)


BROKEN = {
    "no certificate": (b"", ISSUED.key, "tls.crt: holds no certificate in PEM form that can be read"),
    "a torn certificate": (ISSUED.certificate[:200], ISSUED.key, "tls.crt: holds no certificate"),
    "no key": (ISSUED.certificate, b"x", "tls.key: holds no private key in PEM form that can be read"),
    "another's key": (ISSUED.certificate, OTHER.key, "tls.key: is not the key of the first certificate"),
    "a locked key": (
        ISSUED.certificate,
        AUTHORITY.issue(password=b"secret").key,
        "tls.key: is encrypted; give the key without a password",
    ),
    "chain upside down": (
        AUTHORITY.pem + ISSUED.certificate,
        ISSUED.key,
        "tls.key: is not the key of the first certificate in tls.crt",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_files_that_cannot_be_used_are_refused_in_words(tmp_path, name):
    crt, key, words = BROKEN[name]
    mount = mounted(tmp_path, crt, key)
    with pytest.raises(CertificateError) as refused:
        load(mount.folder, asks_clients=False)
    assert str(refused.value).startswith(f"{mount.folder}/{words}")
    (problem,) = find_problems(
        parse_config({"predictor": {"mode": "None"}, "listen": {"tls": {"folder": str(mount.folder)}}})
    )
    assert problem == f"listen.tls: {refused.value}"


def test_a_missing_folder_and_missing_roots_are_named(tmp_path):
    with pytest.raises(CertificateError, match=r"absent/tls\.crt: cannot be read: No such file"):
        load(tmp_path / "absent", asks_clients=False)
    with pytest.raises(CertificateError, match=r"ca\.crt: cannot be read: No such file"):
        load(mounted(tmp_path).folder, asks_clients=True)


def test_asking_for_certificates_without_own_ones_is_refused():
    settings = {"listen": {"tls": {"requireClientCertificates": True}}}
    with pytest.raises(ConfigError, match=r"requireClientCertificates: needs certificates of its own"):
        parse_config(settings)


async def test_renewed_files_are_taken_and_broken_ones_told_once(tmp_path, caplog):
    mount = mounted(tmp_path)
    followed = CertificateFollower(mount.folder, asks_clients=False)
    task = asyncio.create_task(followed.run())
    first = followed.current
    mount.swap(crt=OTHER.certificate, key=ISSUED.key)
    await until(lambda: followed.problem)
    assert "tls.key: is not the key" in followed.trouble
    assert followed.trouble.startswith("renewed certificates are refused, the old ones stay: ")
    assert followed.current is first
    mount.swap(crt=OTHER.certificate, key=ISSUED.key)
    await asyncio.sleep(0.1)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    mount.swap(crt=OTHER.certificate, key=OTHER.key)
    await until(lambda: followed.version == 2)
    assert followed.current.chain == OTHER.certificate
    assert followed.trouble == ""
    mount.swap(crt=OTHER.certificate, key=OTHER.key)  # the same again is nothing new
    await asyncio.sleep(0.1)
    assert followed.version == 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_an_expired_certificate_is_served_and_told(tmp_path):
    expired = AUTHORITY.issue(hours=-1)
    followed = CertificateFollower(
        mounted(tmp_path, expired.certificate, expired.key).folder, asks_clients=False
    )
    assert followed.trouble.startswith("the certificate has expired on 20")
    assert followed.expires_at < time.time()
