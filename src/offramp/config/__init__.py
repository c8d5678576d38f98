"""The settings tree and its one loader."""

from offramp.config.environment import AgentEnvironment, agent_environment, proxy_for
from offramp.config.settings import (
    ASSETS,
    CertifySettings,
    GatewaySettings,
    JudgeSettings,
    PlanSettings,
    RecordSettings,
    ScheduleSettings,
    Settings,
    TelemetrySettings,
    TrainSettings,
    load,
)

__all__ = [
    "ASSETS",
    "AgentEnvironment",
    "CertifySettings",
    "GatewaySettings",
    "JudgeSettings",
    "PlanSettings",
    "RecordSettings",
    "ScheduleSettings",
    "Settings",
    "TelemetrySettings",
    "TrainSettings",
    "agent_environment",
    "load",
    "proxy_for",
]
