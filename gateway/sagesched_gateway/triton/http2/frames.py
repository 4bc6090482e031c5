"""HTTP/2 on the wire (RFC 9113, 7541): frames, header blocks.

Header blocks go out as literals that leave no trace in the peer's table, and the peer is told to keep no
table either (`SETTINGS_HEADER_TABLE_SIZE` 0). So a block means the same wherever it comes, and the few that
a server sends again and again are decoded once.
"""

from __future__ import annotations

import re
import struct
from base64 import b64encode
from collections.abc import Iterable
from functools import lru_cache

import hpack

from sagesched_gateway.request import Metadata

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = struct.Struct(">HBBBI")
"""Upper and lower part of the payload's length, kind, flags, stream."""

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
PUSH_PROMISE = 5
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME = 1, 2, 3, 4, 5
LARGEST_WINDOW = 2**31 - 1
FIRST_WINDOW = 65_535
"""What a side may send before the other has said anything; also for the connection as a whole."""

FIRST_MAX_FRAME = 16_384
CANCEL = 8

_PRIORITY_BYTES = 5
_STATIC_AUTHORITY, _STATIC_PATH = 0x01, 0x04
_POST_OVER_HTTP = b"\x83\x86"
_SETTING = struct.Struct(">HI")
_NAME = re.compile(r"[0-9a-z_.-]+")
_VALUE = re.compile(rb"[ -~]*")

Fields = tuple[tuple[str, str], ...]


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """A whole frame."""
    size = len(payload)
    return HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream_id) + payload


def settings_frame(settings: Iterable[tuple[int, int]]) -> bytes:
    """Settings of this side."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(name, value) for name, value in settings))


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """Settings of the other side."""
    return [
        _SETTING.unpack_from(payload, at) for at in range(0, len(payload) - _SETTING.size + 1, _SETTING.size)
    ]


def window_update(stream_id: int, size: int) -> bytes:
    """Leave to send so many bytes more."""
    return frame(WINDOW_UPDATE, 0, stream_id, size.to_bytes(4, "big"))


def bare_payload(flags: int, payload: bytes, *, of_headers: bool = False) -> bytes:
    """A payload without padding and priority; raises IndexError where it is too short for them."""
    start, end = 0, len(payload)
    if flags & PADDED:
        start, end = 1, end - payload[0]
    if of_headers and flags & WITH_PRIORITY:
        start += _PRIORITY_BYTES
    if start > end:
        raise IndexError("padding longer than its frame")
    return payload[start:end]


def request_block(authority: str, path: str) -> bytes:
    """The beginning of a gRPC request's header block."""
    return b"".join(
        (
            _POST_OVER_HTTP,
            bytes((_STATIC_AUTHORITY,)),
            _text(authority.encode("ascii", "replace")),
            bytes((_STATIC_PATH,)),
            _text(path.encode("ascii")),
            _literal("te", b"trailers"),
            _literal("content-type", b"application/grpc"),
        )
    )


def metadata_block(metadata: Metadata) -> bytes:
    """The rest of it: the call's metadata; binary values as gRPC writes them.

    What gRPC does not allow in metadata is left out: it could end the connection, and other calls with it.
    """
    return b"".join(_entry(name, value) for name, value in metadata)


@lru_cache(maxsize=64)
def read_block(block: bytes) -> Fields:
    """A header block's fields, in order.

    Raises:
        hpack.HPACKError: it is none, or leans on a table.
    """
    decoder = hpack.Decoder(max_header_list_size=2**20)
    decoder.header_table_size = 0
    return tuple((str(name), str(value)) for name, value in decoder.decode(block))


@lru_cache(maxsize=1024)
def _entry(name: str, value: str | bytes) -> bytes:
    raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    if name.endswith("-bin"):
        raw = b64encode(raw).rstrip(b"=")
    is_legal = _NAME.fullmatch(name) is not None and _VALUE.fullmatch(raw) is not None
    return _literal(name, raw) if is_legal else b""


def _literal(name: str, value: bytes) -> bytes:
    return b"\0" + _text(name.encode("ascii", "replace")) + _text(value)


def _text(text: bytes) -> bytes:
    """Plain, behind its length as an integer with a prefix of 7 bits."""
    size = len(text)
    if size < 0x7F:
        return bytes((size,)) + text
    length = bytearray((0x7F,))
    size -= 0x7F
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return bytes(length) + text
