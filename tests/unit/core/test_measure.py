from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.call import OutputType
from offramp.core.measure import FITTING, Measure, Measures, default_of

FORMS = st.sampled_from(list(OutputType))
CHOICES = st.sampled_from(list(Measure))


def test_each_measure_compares_some_form_and_is_worded_in_its_own_way() -> None:
    assert {measure for fitting in FITTING.values() for measure in fitting} == set(Measure)
    assert len({measure.wording for measure in Measure}) == len(Measure)


@pytest.mark.parametrize("output", list(OutputType))
def test_a_forms_own_measure_fits_it_and_free_text_has_none(output: OutputType) -> None:
    own = default_of(output)
    assert own in FITTING[output] or (own is None and output in {OutputType.TEXT, OutputType.ERROR})


@given(FORMS, st.dictionaries(FORMS, CHOICES), st.dictionaries(st.sampled_from("abcd"), CHOICES))
def test_a_tasks_choice_goes_before_its_forms_and_that_before_the_forms_own(
    output: OutputType, forms: dict[OutputType, Measure], tasks: dict[str, Measure]
) -> None:
    """The id goes before the slug, and the slug before the name."""
    found = Measures(forms, tasks).of(output, "a", "b", "c")
    expected = next((tasks[name] for name in "abc" if name in tasks), None)
    assert found == (expected or forms.get(output, default_of(output)))
