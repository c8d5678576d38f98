"""Which candidate is to answer a task: the ladder, the catalogue of models, filters, probe and choice."""

from offramp.select.catalogue import Catalogue, Licence, SmallModel, load_catalogue
from offramp.select.choose import KINDS, Trial, choose, expected_coverage
from offramp.select.filters import Need, refusals, tokens_at
from offramp.select.groups import Unit, units_of
from offramp.select.halving import Outcome, Probe, Standing, probe_arms

__all__ = [
    "KINDS",
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
    "expected_coverage",
    "load_catalogue",
    "probe_arms",
    "refusals",
    "tokens_at",
    "units_of",
]
