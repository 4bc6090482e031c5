"""OpenSSL's side of TLS: one context for a listener's life, a newer one for each handshake."""

from __future__ import annotations

import ssl
from typing import Any

from sagesched_gateway.tls.follower import CertificateFollower


class RotatingContext(ssl.SSLContext):
    """Hands each new connection to the context that the follower has now.

    asyncio and uvloop take a listener's context once and ask it for an `SSLObject` per connection. A context
    could also be changed in place, but what it once trusted it would trust for ever.
    """

    _follower: CertificateFollower

    @classmethod
    def of(cls, follower: CertificateFollower) -> RotatingContext:
        """A context that shows what the follower has."""
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context._follower = follower
        return context

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """See ssl.SSLContext."""
        return self._follower.current.context.wrap_bio(*arguments, **options)
