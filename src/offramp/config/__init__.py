"""The settings tree and its one loader."""

from offramp.config.settings import (
    ASSETS,
    CertifySettings,
    GatewaySettings,
    PlanSettings,
    RecordSettings,
    Settings,
    TrainSettings,
    load,
)

__all__ = [
    "ASSETS",
    "CertifySettings",
    "GatewaySettings",
    "PlanSettings",
    "RecordSettings",
    "Settings",
    "TrainSettings",
    "load",
]
