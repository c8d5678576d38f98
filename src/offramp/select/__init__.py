"""Which candidate is to answer a task: the ladder, the catalogue of models, filters, probe and choice."""

from offramp.select.catalogue import Catalogue, Licence, SmallModel, load_catalogue
from offramp.select.choose import (
    KINDS,
    LEAST_COVERAGE,
    MARGIN,
    Trial,
    choose,
    coverage_range,
    expected_coverage,
    explain,
)
from offramp.select.filters import Need, refusals, tokens_at
from offramp.select.groups import Unit, units_of
from offramp.select.halving import Outcome, Probe, Standing, probe_arms

__all__ = [
    "KINDS",
    "LEAST_COVERAGE",
    "MARGIN",
    "Catalogue",
    "Licence",
    "Need",
    "Outcome",
    "Probe",
    "SmallModel",
    "Standing",
    "Trial",
    "Unit",
    "choose",
    "coverage_range",
    "expected_coverage",
    "explain",
    "load_catalogue",
    "probe_arms",
    "refusals",
    "tokens_at",
    "units_of",
]
