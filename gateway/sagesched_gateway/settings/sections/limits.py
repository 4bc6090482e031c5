"""What callers may take of the gateway."""

from __future__ import annotations

from dataclasses import dataclass, field

from sagesched_gateway.settings.section import MIB, Section, key_of

FULL_CODES = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsConfig:
    """What callers may take of the gateway; beyond it they get a clear error.

    Attributes:
        message_bytes: one gRPC message, or one HTTP body.
        header_bytes: metadata or headers of one call.
        json_depth: nesting of a JSON body.
        queued_requests: requests waiting here.
        queued_bytes: their messages together; of HTTP bodies still on their way, as much again.
        queued_s: predicted seconds that the engine needs to start all that waits here; the dearest newcomer
            is refused beyond it. None for no limit.
        sheddable_below: where that limit is exceeded, waiting requests of a lower priority than this go
            first.
        full_code: gRPC status of a refusal because of these, one of `FULL_CODES` (HTTP: 503 or 429).
        unread_bytes: answers that one stream's caller has not taken yet.
        slow_reader_s: a caller that takes nothing of an answer for so long loses its requests.
        idle_stream_s: a gRPC stream without requests for so long is ended.
    """

    message_bytes: int = field(default=64 * MIB, metadata=key_of("messageBytes"))
    header_bytes: int = field(default=32 * 1024, metadata=key_of("headerBytes"))
    json_depth: int = field(default=64, metadata=key_of("jsonDepth"))
    queued_requests: int = field(default=10_000, metadata=key_of("queuedRequests"))
    queued_bytes: int = field(default=512 * MIB, metadata=key_of("queuedBytes"))
    queued_s: float | None = field(default=None, metadata=key_of("queuedSeconds"))
    sheddable_below: int = field(default=0, metadata=key_of("sheddableBelow"))
    full_code: str = field(default="UNAVAILABLE", metadata=key_of("fullCode"))
    unread_bytes: int = field(default=16 * MIB, metadata=key_of("unreadBytes"))
    slow_reader_s: float = field(default=60.0, metadata=key_of("slowReaderSeconds"))
    idle_stream_s: float = field(default=3600.0, metadata=key_of("idleStreamSeconds"))


def read(section: Section) -> LimitsConfig:
    """Read `limits`."""
    default = LimitsConfig()
    return LimitsConfig(
        message_bytes=section.whole("messageBytes", default.message_bytes, least=1024),
        header_bytes=section.whole("headerBytes", default.header_bytes, least=1024),
        json_depth=section.whole("jsonDepth", default.json_depth, least=4),
        queued_requests=section.whole("queuedRequests", default.queued_requests, least=1),
        queued_bytes=section.whole("queuedBytes", default.queued_bytes, least=1024),
        queued_s=section.number_or_none("queuedSeconds", above=0.0),
        sheddable_below=section.whole("sheddableBelow", default.sheddable_below, least=-1000, most=1000),
        full_code=section.choice("fullCode", default.full_code, FULL_CODES, "code"),
        unread_bytes=section.whole("unreadBytes", default.unread_bytes, least=1024),
        slow_reader_s=section.number("slowReaderSeconds", default.slow_reader_s, above=0.0),
        idle_stream_s=section.number("idleStreamSeconds", default.idle_stream_s, above=0.0),
    )
