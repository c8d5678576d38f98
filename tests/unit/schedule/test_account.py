from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from offramp.schedule.account import Accounts


def test_rounds_are_dealt_by_weight_and_the_rest_is_surplus() -> None:
    """Two classes that wait of three: what the third would get goes by priority."""
    accounts = Accounts([0.5, 0.3, 0.2], 1.0, 10.0)
    assert accounts.choose([0, 1], [0, 1]) == (0, 0)
    assert accounts.credit == (0.5, 0.3, 0.0, 1.0 - 0.5 - 0.3)
    accounts.charge(0, 2.0)
    assert accounts.choose([0, 1], [0, 1]) == (1, 1)
    accounts.charge(1, 0.4)
    assert accounts.choose([0, 1], [0, 1]) == (0, accounts.surplus)


def test_a_class_that_rests_saves_nothing_and_keeps_its_debts() -> None:
    """Credit is for those who wait."""
    accounts = Accounts([0.5, 0.5], 1.0, 10.0)
    accounts.choose([0, 1], [0, 1])
    accounts.rest(1)
    assert accounts.credit[:2] == (0.5, 0.0)
    accounts.charge(1, 3.0)
    accounts.rest(1)
    assert accounts.credit[1] == -3.0


def test_corrections_go_as_far_as_the_debt_and_give_no_credit() -> None:
    """A call that ran away does not shut its class out for ever; one that was short pays debts only."""
    accounts = Accounts([0.5, 0.5], 1.0, 2.0)
    accounts.correct(0, 100.0)
    assert accounts.credit[0] == -2.0
    accounts.correct(0, -1.0)
    assert accounts.credit[0] == -1.0
    accounts.correct(0, -50.0)
    assert accounts.credit[0] == 0.0
    accounts.charge(1, 5.0)
    accounts.correct(1, 1.0)
    # It owed more than that for one call alone.
    assert accounts.credit[1] == -5.0


@given(st.lists(st.sampled_from([0.1, 1.0, 7.0]), min_size=3, max_size=3), st.sampled_from([0.01, 0.5, 3.0]))
def test_classes_that_always_wait_get_their_weights(costs: list[float], quantum: float) -> None:
    """Whatever a call of each costs, and however fine the rounds are."""
    weights = [0.5, 0.3, 0.2]
    accounts, got = Accounts(weights, quantum, 0.0), [0.0, 0.0, 0.0]
    for _ in range(4000):
        kind, account = accounts.choose([0, 1, 2], [0, 1, 2])
        assert kind == account
        accounts.charge(account, costs[kind])
        got[kind] += costs[kind]
    assert all(abs(have / sum(got) - want) < 0.05 for have, want in zip(got, weights, strict=True))
