from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.call import OutputType
from offramp.core.measure import EVERY_TASK, FITTING, Measure, Measures, default_of

FORMS = st.sampled_from(list(OutputType))
CHOICES = st.sampled_from([measure for measure in Measure if measure is not Measure.JUDGE])


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


JUDGED = Measures(judge="m, prompt 1", judged=frozenset({"a"}))


@pytest.mark.parametrize(
    ("measures", "found"),
    [
        (Measures(), None),
        (Measures(judge="m"), None),
        (Measures(judged=frozenset({"a"})), None),
        (JUDGED, Measure.JUDGE),
        (Measures(judge="m", judged=frozenset({EVERY_TASK})), Measure.JUDGE),
        (Measures(judge="m", judged=frozenset({"b"})), None),
        (replace(JUDGED, forms={OutputType.TEXT: Measure.TEXT}), Measure.TEXT),
    ],
)
def test_free_text_is_judged_where_a_judges_error_was_measured_for_it(
    measures: Measures, found: Measure | None
) -> None:
    assert measures.of(OutputType.TEXT, "a", "slug") is found


def test_other_forms_are_judged_only_where_that_was_chosen() -> None:
    assert JUDGED.of(OutputType.JSON, "a") is Measure.JSON
    chosen = replace(JUDGED, tasks={"a": Measure.JUDGE, "b": Measure.JUDGE})
    assert [chosen.of(OutputType.JSON, name) for name in "ab"] == [Measure.JUDGE, None]


def test_a_certificate_names_the_judge() -> None:
    assert JUDGED.wording(Measure.JUDGE) == "as judged by m, prompt 1"
    assert JUDGED.wording(Measure.JSON) == Measure.JSON.wording
