"""Content encodings of the infer endpoint, as Triton takes and gives them: gzip and deflate (zlib)."""

from __future__ import annotations

import zlib

from sagesched_gateway.errors import InvalidRequestError, TooLargeError

IDENTITY, GZIP, DEFLATE = "identity", "gzip", "deflate"

_ANY_HEADER = zlib.MAX_WBITS | 32
_GZIP_HEADER = zlib.MAX_WBITS | 16


def decompress(body: bytes, encoding: str, most_bytes: int) -> bytes:
    """The body as it was before it was compressed.

    Args:
        body: as it came.
        encoding: the value of `Content-Encoding`.
        most_bytes: largest body that is wanted.

    Raises:
        InvalidRequestError: an encoding that Triton does not take, or a body that is not so encoded.
        TooLargeError: it would be larger than `most_bytes`.
    """
    if encoding in ("", IDENTITY):
        return body
    if encoding not in (GZIP, DEFLATE):
        raise InvalidRequestError(f"Unsupported compression type '{encoding}'; use gzip or deflate")
    inflate = zlib.decompressobj(_ANY_HEADER)
    try:
        result = inflate.decompress(body, most_bytes + 1)
    except zlib.error as error:
        raise InvalidRequestError(f"the body cannot be decompressed as {encoding}: {error}") from error
    if len(result) > most_bytes:
        raise TooLargeError(f"the decompressed body is larger than {most_bytes} bytes, the gateway's limit")
    if not inflate.eof:
        raise InvalidRequestError(f"the body is only the beginning of one compressed as {encoding}")
    return result


def compress(body: bytes, encoding: str) -> bytes:
    """The body in an encoding that `accepted_encoding` chose."""
    if encoding == IDENTITY:
        return body
    deflate = zlib.compressobj(wbits=_GZIP_HEADER if encoding == GZIP else zlib.MAX_WBITS)
    return deflate.compress(body) + deflate.flush()


def accepted_encoding(accept: str) -> str:
    """The encoding that Triton chooses for an `Accept-Encoding`: the heaviest, the first among equals."""
    chosen, heaviest = IDENTITY, 0.0
    for item in accept.split(","):
        name, _, weight = item.lstrip(" ").partition(";q=")
        try:
            heavy = float(weight) if weight else 1.0
        except ValueError:
            continue
        if name in (IDENTITY, GZIP, DEFLATE) and heavy > heaviest:
            chosen, heaviest = name, heavy
    return chosen
