"""Audits of what is live, kept across restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.certify.evidence import confidence_sequence
from offramp.certify.online import Audit, RiskMonitor

if TYPE_CHECKING:
    from offramp.core.deployment import Deployment
    from offramp.core.json import JsonObject
    from offramp.storage.port import Store

AUDIT = "audit"


class StoredAudit(RiskMonitor):
    """A specialist's audit test that writes every audited call down.

    Args:
        store: Keeps the state.
        deployment: What is audited.
    """

    def __init__(self, store: Store, deployment: Deployment) -> None:
        saved = store.get(AUDIT, deployment.specialist)
        super().__init__(deployment.seen_alpha, deployment.delta, Audit.from_dict(saved) if saved else None)
        self._store = store
        self._name = deployment.specialist

    def update(self, loss: float, /) -> None:
        """Take in one audited call and store the state."""
        super().update(loss)
        self._store.put(AUDIT, self._name, self.audit.to_dict())


def live_risk(store: Store, deployment: Deployment, delta: float = 0.05) -> JsonObject:
    """Return what audits say about a specialist: counts and an interval that holds at all times.

    Where a judge decides, the counts are what it saw. What it misses is added to the interval's upper end;
    the lower end is 0, for what it took for disagreements may be none.
    """
    saved = store.get(AUDIT, deployment.specialist)
    n, errors = (int(saved["n"]), int(saved["errors"])) if saved else (0, 0)
    low, high = confidence_sequence(n, errors, delta)
    if deployment.judge_missed:
        low, high = 0.0, min(high / (1.0 - deployment.judge_missed), 1.0)
    return {"audited": n, "disagreements": errors, "risk_low": low, "risk_high": high}
