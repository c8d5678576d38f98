"""What offramp tells of itself: logs and OpenTelemetry spans."""

from offramp.telemetry.logs import configure_logs
from offramp.telemetry.otlp import SpanSender

__all__ = ["SpanSender", "configure_logs"]
