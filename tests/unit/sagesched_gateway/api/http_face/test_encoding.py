from __future__ import annotations

import gzip
import zlib

import pytest

from sagesched_gateway.api.http_face.encoding import accepted_encoding, compress, decompress
from sagesched_gateway.errors import InvalidRequestError, TooLargeError

TEXT = b"tensors " * 100


@pytest.mark.parametrize("encoding", ["identity", "gzip", "deflate"])
def test_there_and_back(encoding):
    assert decompress(compress(TEXT, encoding), encoding, len(TEXT)) == TEXT


def test_formats_are_the_usual_ones():
    assert gzip.decompress(compress(TEXT, "gzip")) == TEXT
    assert zlib.decompress(compress(TEXT, "deflate")) == TEXT


def test_a_bomb_does_not_go_off():
    with pytest.raises(TooLargeError, match="decompressed body is larger than 1000 bytes"):
        decompress(gzip.compress(bytes(10_000_000)), "gzip", 1000)


@pytest.mark.parametrize(
    ("body", "encoding", "complaint"),
    [
        (b"nope", "gzip", "cannot be decompressed as gzip"),
        (gzip.compress(TEXT)[:-9], "gzip", "only the beginning"),
        (b"", "deflate", "only the beginning"),
        (TEXT, "br", "Unsupported compression type 'br'"),
    ],
)
def test_what_is_not_so_encoded_is_refused(body, encoding, complaint):
    with pytest.raises(InvalidRequestError, match=complaint):
        decompress(body, encoding, 10_000)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "identity"),
        ("gzip", "gzip"),
        ("gzip, deflate", "gzip"),
        ("gzip;q=0.5, deflate;q=0.7, identity;q=0.1", "deflate"),
        ("br, zstd", "identity"),
        ("gzip;q=x, deflate", "deflate"),
        ("gzip;q=0", "identity"),
        (" , ;q=1,,", "identity"),
    ],
)
def test_the_heaviest_encoding_is_chosen(accept, chosen):
    assert accepted_encoding(accept) == chosen
