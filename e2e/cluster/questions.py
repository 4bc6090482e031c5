"""Plain questions to an API server that may not be there yet."""

from __future__ import annotations

import http.client
import ssl
import urllib.request
from pathlib import Path

TIMEOUT_S = 3.0


def answers_well(url: str, authority: Path, token: str) -> bool:
    """Whether GET on this address is answered with 200 to this user; False where nobody listens.

    Args:
        url: with the path.
        authority: certificate that the server's is checked with; the server makes it while it starts.
        token: of the user who asks.
    """
    try:
        context = ssl.create_default_context(cafile=str(authority))
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=context) as answer:
            return bool(answer.status == http.client.OK)
    except (OSError, http.client.HTTPException):  # urllib's errors and ssl's are OSErrors
        return False
