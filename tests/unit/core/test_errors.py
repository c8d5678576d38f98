from __future__ import annotations

import pytest

from offramp.core import errors
from offramp.core.errors import OfframpError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.OfframpError, 1),
        (errors.UserError, 2),
        (errors.BadInput, 2),
        (errors.BadSetting, 2),
        (errors.NotFound, 2),
        (errors.AddressInUse, 2),
        (errors.MissingExtra, 2),
        (errors.StorageError, 3),
        (errors.DiskFull, 3),
        (errors.WrongKey, 3),
        (errors.SchemaTooNew, 3),
        (errors.UpstreamError, 4),
        (errors.UpstreamUnreachable, 4),
        (errors.UpstreamTimeout, 4),
        (errors.EngineError, 5),
        (errors.Busy, 5),
    ],
)
def test_exit_codes_are_stable(error: type[OfframpError], code: int) -> None:
    assert error.exit_code == code


def test_trying_again_helps_only_where_the_situation_can_pass() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    retryable = {c.__name__ for c in classes if issubclass(c, OfframpError) and c.retryable}
    assert retryable == {"AddressInUse", "Busy", "DiskFull", "UpstreamUnreachable", "UpstreamTimeout"}


def test_an_error_reads_as_message_and_hint() -> None:
    error = errors.NotFound("There is no task x.", hint="`offramp tasks` lists them.")
    assert str(error) == "There is no task x. `offramp tasks` lists them."
    assert str(errors.NotFound("There is none.")) == "There is none."
