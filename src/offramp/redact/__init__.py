"""Personal data and secrets out of recorded calls: a chain of rules, consistent surrogates."""

from offramp.redact.masked import Masked
from offramp.redact.redactor import Redacted, Redactor

__all__ = ["Masked", "Redacted", "Redactor"]
