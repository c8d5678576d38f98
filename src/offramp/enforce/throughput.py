"""How fast an engine that is there reads prompts and writes tokens, measured over its OpenAI API.

Prompts are token ids drawn anew each time, so that no prefix cache answers. Reading is told apart from the
fixed cost of a request by two prompt lengths; a decoding step is the time between tokens of requests that run
together.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import aiohttp

from offramp.core.errors import BadInput, EngineError
from offramp.enforce.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from offramp.core.json import JsonObject

FIRST_ID, LAST_ID = 100, 2000
"""Token ids that are drawn: past the special ones, within the smallest vocabularies."""


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked of the engine.

    Attributes:
        model: Name to ask by.
        prompt: Prompt tokens of the longer prompts; the shorter ones have a quarter.
        completion: Tokens that each decoding request writes.
        batches: Requests at once, for the decoding steps.
        repeats: Of each measurement; the median counts.
        seed: Of the drawn tokens.
        timeout_s: Longest request.
    """

    model: str
    prompt: int = 1024
    completion: int = 64
    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    repeats: int = 3
    seed: int = 20260
    timeout_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Step:
    """Decoding with so many requests at once.

    Attributes:
        batch: Requests at once.
        step_s: Seconds between two tokens of one of them.
        tokens_per_s: Tokens of all of them per second.
        first_token_s: Seconds until the first token of the last of them.
    """

    batch: int
    step_s: float
    tokens_per_s: float
    first_token_s: float


@dataclass(frozen=True, slots=True)
class Profile:
    """What was measured of one model on one kind of device.

    Attributes:
        model: Name it was asked by.
        device: Kind of device, as placements name it; "" where nobody said.
        prefill_tokens_per_s: Prompt tokens read per second, one request at a time.
        request_s: Seconds of a request before its prompt is read.
        decode: By requests at once, ascending.
        prompt: Tokens of the longer prompts.
        completion: Tokens written per decoding request.
        at: Seconds since the epoch.
    """

    model: str
    device: str
    prefill_tokens_per_s: float
    request_s: float
    decode: tuple[Step, ...]
    prompt: int
    completion: int
    at: float


@dataclass(frozen=True, slots=True)
class _Timed:
    first_s: float
    last_s: float
    tokens: int


async def measure(
    url: str,
    questions: Questions,
    *,
    device: str = "",
    key: str = "",
    told: Callable[[str], None] = lambda _: None,
) -> Profile:
    """Measure an engine.

    Args:
        url: Its base URL, with or without ``/v1``.
        questions: What is asked.
        device: Kind of device that it runs on, as placements name it.
        key: API key, "" for none.
        told: Called with each result in words.

    Raises:
        BadInput: Prompts, completions or batches are too small to measure by.
        EngineError: The engine could not be asked, or refused.
    """
    if questions.prompt < 8 or questions.completion < 2 or min(questions.batches, default=0) < 1:
        raise BadInput(
            f"Prompts of {questions.prompt} and completions of {questions.completion} tokens at "
            f"{questions.batches} at once measure nothing; allowed are 8 or more, 2 or more, 1 or more."
        )
    asker = _Asker(url, questions, key)
    async with asker:
        await asker.ask(questions.prompt, 2)
        rate, fixed = await _prefill(asker, questions)
        told(f"reads {rate:,.0f} prompt tokens per second, {1000 * fixed:.1f} ms before that")
        steps: list[Step] = []
        for batch in sorted(questions.batches):
            steps.append(await _decode(asker, questions, batch))
            told(f"{batch} at once: {1000 * steps[-1].step_s:.2f} ms a step")
    return Profile(
        questions.model,
        device,
        rate,
        fixed,
        tuple(steps),
        questions.prompt,
        questions.completion,
        time.time(),
    )


def add_profile(file: Path, fresh: Profile) -> None:
    """Write a profile down, in place of an earlier one of the same model and device.

    Raises:
        BadInput: The file is there and holds no profiles.
    """
    kept = [one for one in read_profiles(file) if (one.model, one.device) != (fresh.model, fresh.device)]
    rows = [asdict(one) for one in (*kept, fresh)]
    write_whole(file, {"profiles": rows})


def read_profiles(file: Path) -> tuple[Profile, ...]:
    """Read what `add_profile` wrote; nothing where there is no file.

    Raises:
        BadInput: It holds no profiles.
    """
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))["profiles"]
        return tuple(
            replace(Profile(**row), decode=tuple(Step(**step) for step in row["decode"])) for row in rows
        )
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{file} holds no profiles: {error!r}.", hint="Name another file.") from error


async def _prefill(asker: _Asker, questions: Questions) -> tuple[float, float]:
    """Return prompt tokens per second and the seconds that a request takes besides."""
    short = questions.prompt // 4
    times: dict[int, list[float]] = {short: [], questions.prompt: []}
    for _ in range(questions.repeats):
        for length, some in times.items():
            some.append((await asker.ask(length, 1)).first_s)
    quick, slow = (statistics.median(times[length]) for length in (short, questions.prompt))
    # Where both take the same, reading is too fast to be seen beside the rest: all of it counts as reading.
    rate = (questions.prompt - short) / (slow - quick) if slow > quick else questions.prompt / slow
    return rate, max(0.0, slow - questions.prompt / rate)


async def _decode(asker: _Asker, questions: Questions, batch: int) -> Step:
    steps: list[float] = []
    rates: list[float] = []
    firsts: list[float] = []
    for _ in range(questions.repeats):
        done = await asyncio.gather(*(asker.ask(8, questions.completion) for _ in range(batch)))
        steps += [(one.last_s - one.first_s) / max(one.tokens - 1, 1) for one in done]
        rates.append(sum(one.tokens for one in done) / max(one.last_s for one in done))
        firsts.append(max(one.first_s for one in done))
    return Step(batch, statistics.median(steps), statistics.median(rates), statistics.median(firsts))


class _Asker:
    def __init__(self, url: str, questions: Questions, key: str) -> None:
        base = url.rstrip("/")
        self._url = f"{base if base.endswith('/v1') else base + '/v1'}/completions"
        self._questions = questions
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._random = random.Random(questions.seed)  # noqa: S311 - tokens to measure with

    async def __aenter__(self) -> _Asker:
        timeout = aiohttp.ClientTimeout(total=self._questions.timeout_s)
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=connector, headers=self._headers)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._session.close()

    async def ask(self, prompt: int, completion: int) -> _Timed:
        """Ask once; seconds count from the sending of the request."""
        body: JsonObject = {
            "model": self._questions.model,
            "prompt": [self._random.randint(FIRST_ID, LAST_ID) for _ in range(prompt)],
            "max_tokens": completion,
            "temperature": 0.0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        begun = time.perf_counter()
        moments: list[float] = []
        tokens = 0
        try:
            async with self._session.post(self._url, json=body) as response:
                if response.status != 200:
                    said = (await response.text())[:500]
                    raise EngineError(f"{self._url} answered {response.status}: {said}")
                async for line in response.content:
                    value = _event(line)
                    if value.get("choices"):
                        moments.append(time.perf_counter() - begun)
                    tokens = (value.get("usage") or {}).get("completion_tokens", tokens)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise EngineError(f"{self._url} could not be asked: {error!r}.") from error
        if not moments:
            raise EngineError(f"{self._url} streamed no token.", hint="Does it serve /v1/completions?")
        return _Timed(moments[0], moments[-1], tokens or len(moments))


def _event(line: bytes) -> JsonObject:
    data = line.removeprefix(b"data:").strip()
    if not line.startswith(b"data:") or data == b"[DONE]":
        return {}
    try:
        value: JsonObject = json.loads(data)
    except ValueError:
        return {}
    return value


def batches_of(words: Sequence[str]) -> tuple[int, ...]:
    """Read numbers of requests at once.

    Raises:
        BadInput: One of them is no number from 1 on.
    """
    try:
        numbers = tuple(int(word) for word in words)
    except ValueError as error:
        raise BadInput(f"{', '.join(words)} are not all numbers of requests.") from error
    if not numbers or min(numbers) < 1:
        raise BadInput(f"Requests at once are 1 or more, not {', '.join(words)}.")
    return numbers
