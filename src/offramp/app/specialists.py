"""The live specialists: opened from their folders, with the confidence fitted for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.app.build import heavy
from offramp.core.decision import Proposal
from offramp.core.errors import EngineError
from offramp.engine.specialist import TaskRequest
from offramp.loop.state import CONFIDENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.app.build import App
    from offramp.engine.specialist import Specialist
    from offramp.engine.worker import Question
    from offramp.loop.score import Confidence


class LiveSpecialists:
    """Answers questions of the worker protocol.

    Args:
        app: Holds store, engine and encoder.
        ids: The specialists to open.

    Raises:
        EngineError: A specialist or its confidence is missing.
    """

    def __init__(self, app: App, ids: Sequence[str]) -> None:
        self._open: dict[str, tuple[Specialist, Confidence]] = {}
        ladder, score = heavy("offramp.loop.ladder"), heavy("offramp.loop.score")
        for name in ids:
            fitted = app.store.get(CONFIDENCE, name)
            if fitted is None:
                raise EngineError(f"No confidence was fitted for {name}.", hint="Run `offramp convert`.")
            folder = app.settings.specialists_path / name
            specialist = ladder.open_specialist(folder, app.tools)
            self._open[name] = (specialist, score.Confidence.from_dict(fitted))
        self._columns = score.columns
        self._scores = score.Scores

    def propose(self, questions: Sequence[Question]) -> list[Proposal]:
        """Answer a batch, in order.

        Raises:
            EngineError: A question names a specialist that is not open, or a task that is not its own.
        """
        proposals: dict[int, Proposal] = {}
        for name in {question.specialist for question in questions}:
            rows = [row for row, question in enumerate(questions) if question.specialist == name]
            asked = [TaskRequest(questions[row].task, questions[row].request) for row in rows]
            proposals.update(zip(rows, self._of(name, asked), strict=True))
        return [proposals[row] for row in range(len(questions))]

    def _of(self, name: str, asked: list[TaskRequest]) -> list[Proposal]:
        if name not in self._open:
            raise EngineError(f"Specialist {name} is not open in this worker.", hint="The call defers.")
        specialist, confidence = self._open[name]
        considered = specialist.consider(asked)
        features, similarity, answered = self._columns(considered)
        sure = confidence.of(self._scores(features, similarity, answered, similarity * 0))
        return [Proposal(seen.answer, float(value)) for seen, value in zip(considered, sure, strict=True)]
