from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.certify.session import session_figure
from offramp.core.errors import BadInput


def test_99_per_cent_a_call_is_82_per_cent_over_20() -> None:
    figure = session_figure(0.01, 20)
    assert figure.independent == pytest.approx(0.8179, abs=1e-4)
    assert figure.guaranteed == pytest.approx(0.8)


@given(st.floats(0.0, 1.0), st.floats(1.0, 100.0))
def test_the_guarantee_never_exceeds_the_independent_figure(risk: float, calls: float) -> None:
    figure = session_figure(risk, calls)
    assert 0.0 <= figure.guaranteed <= figure.independent + 1e-12 <= 1.0 + 1e-12


@given(st.floats(0.0, 1.0), st.floats(0.0, 50.0), st.floats(0.0, 50.0))
def test_more_calls_never_help(risk: float, calls: float, more: float) -> None:
    assert session_figure(risk, calls + more).independent <= session_figure(risk, calls).independent


@pytest.mark.parametrize(("risk", "calls"), [(-0.1, 1.0), (1.1, 1.0), (0.1, -1.0)])
def test_values_out_of_range_are_refused(risk: float, calls: float) -> None:
    with pytest.raises(BadInput, match="a risk is 0 to 1"):
        session_figure(risk, calls)
