"""`TrustWatch`: what dispatch does about predictions that are off.

Scale that is off: predictions are rescaled before anybody uses them, and it is said. Order that is off:
`fcfs` is in effect instead of the configured policy until the order is worth following again. The verdicts
are `sagesched_predictor.trust`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from sagesched_gateway.dispatch.live_request import LiveRequest
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.trust import Trust, TrustReport

_LOG = logging.getLogger(__name__)

FALLBACK = "fcfs"


class TrustWatch:
    """Of one dispatcher.

    Attributes:
        configured: the policy that is asked for.
    """

    def __init__(
        self,
        configured: PolicySettings,
        *,
        trust: Trust,
        use: Callable[[PolicySettings], None],
        tokens_of: Callable[[str], int | None],
    ) -> None:
        """Start with trust.

        Args:
            configured: the policy that is asked for.
            trust: gives the verdicts.
            use: puts a policy into effect.
            tokens_of: what a running request has generated; None where it does not run.
        """
        self.configured = configured
        self._trust = trust
        self._use = use
        self._tokens_of = tokens_of
        self._raw: dict[str, LengthDistribution] = {}
        self._was_calibrated = True
        self._was_useful = True

    @property
    def report(self) -> TrustReport:
        """As last assessed."""
        return self._trust.report

    @property
    def reason(self) -> str:
        """Why another policy than the configured one is in effect; empty where it is not."""
        is_fallback = not self._was_useful and self.configured.name != FALLBACK
        return f"{FALLBACK}: {self.report.reason}" if is_fallback else ""

    def use_policy(self, policy: PolicySettings) -> None:
        """Another policy is asked for; it is in effect as soon as order is worth following.

        Raises:
            ValueError: unknown policy, or a knob out of its range; nothing is changed then.
        """
        self._use(policy)  # checks it
        self.configured = policy
        if not self._was_useful:
            self._use(self._in_effect())

    def predicted(self, live: LiveRequest, raw: LengthDistribution | None) -> LengthDistribution | None:
        """What to use for the prediction of a request."""
        if raw is None:
            return None
        used = self._trust.adjusted(live.request.model, raw, live.request.max_tokens)
        self._raw[live.job_id] = raw
        if live.started_at is not None:
            self._trust.started(live.job_id, live.request.model, raw, used)
        return used

    def started(self, live: LiveRequest) -> None:
        """A request goes to the engine."""
        raw, used = self._raw.get(live.job_id), live.generation.predicted
        if raw is not None and used is not None:
            self._trust.started(live.job_id, live.request.model, raw, used)

    def ended(self, live: LiveRequest, *, is_whole: bool) -> None:
        """A request is over.

        Args:
            live: the request.
            is_whole: it ended by itself, not by its cap nor because somebody stopped it.
        """
        self._raw.pop(live.job_id, None)
        if live.output_tokens <= 0 or not live.request.counts_tokens:
            self._trust.forget(live.job_id)
        elif self._trust.ended(
            live.job_id, live.output_tokens, censored=not is_whole, tokens_of=self._tokens_of
        ):
            self._follow()

    def _follow(self) -> None:
        report = self.report
        if report.useful != self._was_useful:
            self._was_useful = report.useful
            if report.useful:
                _LOG.warning("predictor: its order helps again; policy %s in effect", self.configured.name)
            else:
                _LOG.warning("predictor: order no longer helps, %s in effect: %s", FALLBACK, report.reason)
            self._use(self._in_effect())
        if report.calibrated != self._was_calibrated:
            self._was_calibrated = report.calibrated
            if report.calibrated:
                _LOG.info("predictor: its intervals hold what they promise again")
            else:
                _LOG.warning("predictor: not calibrated: %s", report.reason)

    def _in_effect(self) -> PolicySettings:
        return self.configured if self._was_useful else replace(self.configured, name=FALLBACK)
