"""What can go wrong at the API server."""

from __future__ import annotations

_MISSHAPEN = "failed to create typed patch object"
"""So server-side apply says, with code 500, that a field is unknown or of another type."""

_CALLING = "failed calling webhook"
"""So the API server says, with code 500, that an admission webhook gives no answer."""


class ApiError(Exception):
    """The API server refused, or could not be reached (`code` 0).

    Attributes:
        code: HTTP status, 0 where there was no answer.
        reason: Kubernetes' word, `Conflict`, `Invalid`, ….
        retry_after_s: when the server wants to be asked again; None where it does not say.
    """

    def __init__(self, code: int, reason: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.retry_after_s = retry_after_s

    @property
    def is_refusal(self) -> bool:
        """The same request will be refused again: somebody has to act."""
        return self.code in (400, 403, 404, 405, 413, 415, 422) or str(self).startswith(_MISSHAPEN)

    @property
    def is_about_a_webhook(self) -> bool:
        """A webhook that has a say in it does not answer: the API server itself is well."""
        return self.code >= 500 and _CALLING in str(self)

    @property
    def is_about_the_kind(self) -> bool:
        """The server does not know the kind (any more): it answers without Kubernetes' own word."""
        return self.code == 404 and self.reason != "NotFound"
