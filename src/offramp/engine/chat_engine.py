"""An engine that is a server of chat completions: vLLM, SGLang, llama.cpp, Ollama or a provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.core.call import answer_of
from offramp.core.errors import EngineError, OfframpError
from offramp.core.model import Completion
from offramp.engine.chat import tokens_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from offramp.core.json import JsonObject
    from offramp.core.model import Constraint, EngineRequest
    from offramp.engine.chat import Chat

_LEAST_CHARACTERS = 2
"""Characters of a token at least, for counting without the server's tokenizer: rather too many tokens."""

_TEMPLATE = 16
"""Tokens that a chat template puts around one turn, at most."""


class ChatEngine:
    """Runs a server's model as it is; adapters are the server's own business.

    A constraint to one JSON object is sent as a JSON schema. One to tool calls is not sent, because the
    compact form of a call is no JSON: what comes back in another form is no answer, and the call defers.

    Args:
        chat: The server.
        model: The model's name there.
        context: Tokens that prompt and completion may have together.
    """

    def __init__(self, chat: Chat, model: str, *, context: int = 8192) -> None:
        self._chat = chat
        self._model = model
        self._context = context

    @property
    def context(self) -> int:
        """Tokens that prompt and completion may have together."""
        return self._context

    def count(self, prompt: str) -> int:
        """Estimate a prompt's tokens from its characters, on the safe side."""
        return len(prompt) // _LEAST_CHARACTERS + _TEMPLATE

    def load(self, adapter: str, path: Path) -> None:
        """Refuse: no adapter can be handed over through the chat-completions API.

        Raises:
            EngineError: Always.
        """
        raise EngineError(
            f"The server that answers as {self._model!r} cannot be given the adapter {adapter!r} of {path}.",
            hint="Load it with the server's own command, and name it as the model.",
        )

    def complete(self, requests: Sequence[EngineRequest]) -> list[Completion]:
        """Ask the server, greedily.

        Raises:
            EngineError: A request names an adapter, or the server refused one.
        """
        for request in requests:
            if request.adapter:
                raise EngineError(f"Adapter {request.adapter!r} is not loaded: the server's model is asked.")
        replies = self._chat.ask([self._body(request) for request in requests])
        return [self._completion(reply) for reply in replies]

    def _body(self, request: EngineRequest) -> JsonObject:
        body: JsonObject = {
            "model": self._model,
            "messages": [{"role": "user", "content": request.prompt}],
            "temperature": 0,
            "max_tokens": request.max_tokens,
            "logprobs": True,
        }
        schema = _schema(request.constraint)
        return {**body, "response_format": schema} if schema else body

    def _completion(self, reply: JsonObject | OfframpError) -> Completion:
        if isinstance(reply, OfframpError):
            raise EngineError(f"The server of {self._model!r} gave no answer: {reply}") from reply
        answer = answer_of(reply)
        tokens = tokens_of(reply)
        if answer is None:
            return Completion("", (), (), finished=False)
        if "".join(token.text for token in tokens) != answer.text:
            # Without a log-probability for all of it, none is better than some.
            return Completion(answer.text, (0.0,), (answer.text,), finished=True)
        return Completion(
            answer.text,
            tuple(token.logprob for token in tokens),
            tuple(token.text for token in tokens),
            finished=True,
        )


def _schema(constraint: Constraint | None) -> JsonObject | None:
    if constraint is None or len(constraint.tools) != 1 or constraint.tools[0].name:
        return None
    keys = list(constraint.tools[0].arguments)
    schema = {"type": "object", "properties": {key: {} for key in keys}, "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
