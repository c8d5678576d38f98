"""The judge of free text that the settings set up, and what was measured of it."""

from __future__ import annotations

import importlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from offramp.app.asking import HttpChat
from offramp.app.teacher import open_teacher
from offramp.config import ASSETS
from offramp.core.errors import BadSetting, NotFound
from offramp.core.measure import EVERY_TASK
from offramp.loop import state
from offramp.loop.judge import ChatJudge, Judging, StoredVerdicts, save_error, stored_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from offramp.certify.judge import JudgeError
    from offramp.config import Settings
    from offramp.core.measure import Measures
    from offramp.storage.port import Store

PROMPT = ASSETS / "judge.txt"


def chat_of(settings: Settings) -> HttpChat:
    """Return the judge's server: its own, or the teacher's."""
    gateway, judge = settings.gateway, settings.judge
    if judge.upstream:
        return HttpChat(lambda: open_teacher(gateway, judge.upstream, judge.key))
    return HttpChat(lambda: open_teacher(gateway, gateway.upstream, gateway.upstream_key))


def judge_of(
    settings: Settings,
    chat: HttpChat,
    *,
    most: int | None = None,
    store: Callable[[], Store] | None = None,
) -> ChatJudge | None:
    """Return the judge that is set up, None where none is.

    Args:
        settings: Its model and prompt.
        chat: Its server.
        most: Pairs that it may be asked about, 0 for any number; what the settings say where not given.
        store: Where its decisions are kept, None for nowhere.

    Raises:
        BadSetting: The file of its prompt cannot be read.
    """
    judge = settings.judge
    if not judge.model:
        return None
    path = Path(judge.prompt) if judge.prompt else PROMPT
    try:
        prompt = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(
            f"Setting judge.prompt is {judge.prompt!r}, which cannot be read: {error}.",
            hint="Name a text file, or leave it out for the bundled prompt.",
        ) from error
    kept = None if store is None else partial(StoredVerdicts, store)
    return ChatJudge(chat, judge.model, prompt, most=judge.most if most is None else most, kept=kept)


def measures_with(measures: Measures, store: Store, judge: ChatJudge | None) -> Measures:
    """Add what is known of the judge to the measures that the settings choose."""
    if judge is None:
        return measures
    errors = stored_errors(store, judge.name)
    # One that missed every labelled disagreement may miss every other.
    bounded = {task for task, error in errors.items() if error["missed"] < error["disagreements"]}
    return replace(measures, judge=judge.name, judged=frozenset(bounded))


def judging_with(store: Store, judge: ChatJudge | None) -> Judging | None:
    """Return the judge with its measured errors, None where none is set up."""
    if judge is None:
        return None
    error = importlib.import_module("offramp.certify.judge").JudgeError
    return Judging(judge, {task: error(**value) for task, value in stored_errors(store, judge.name).items()})


def keep_error(store: Store, error: JudgeError, task: str | None) -> str:
    """Store a judge's error for a task, or for all others.

    Args:
        store: Where it goes, and where the tasks are.
        error: What was measured.
        task: Id, slug or name of the task whose answers were labelled; None: of all.

    Returns:
        The task's id, or ``EVERY_TASK``.

    Raises:
        NotFound: There is no such task.
    """
    found = EVERY_TASK if task is None else task_id(store, task)
    save_error(store, error, found)
    return found


def task_id(store: Store, called: str) -> str:
    """Return the id of a task by its id, slug or name.

    Raises:
        NotFound: There is no such task.
    """
    for task in state.load_tasks(store):
        if called in task.names:
            return task.id
    raise NotFound(f"There is no task {called!r}.", hint="`offramp tasks` lists them.")
