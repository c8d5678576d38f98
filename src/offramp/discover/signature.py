"""What identifies a call site without reading its payload.

Runs on the request path: pure, linear in the request's size, no third-party import but a JSON
encoder and a regular-expression engine whose matching time is linear on hostile input too.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
import re2

from offramp.core.call import functions_of, text_of
from offramp.core.json import canonical, digest

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

SLOT = "<*>"
"""What stands in a skeleton where the text holds a value."""

CACHE_SIZE = 2048
"""Distinct static texts and tool lists remembered by one reader; a few kilobytes each."""

MAX_PROMPT = 65_536
MAX_MESSAGE = 8_192
"""Characters read of a system prompt and of a user message: half from either end, which bounds the
time a request can take. A prompt is remembered, a message is read anew each time."""

_STATIC_ROLES = ("system", "developer")

# Annotations of a schema: they change the teacher's advice, not which call site this is.
_ANNOTATIONS = frozenset({"description", "title", "examples", "$comment"})

# One alternation, longest kinds first. A word with a digit in it is a value: numbers, dates, ids,
# long hexadecimal, amounts. Month and day names go with dates; a single quote beside a letter is an
# apostrophe.
_VALUES = re2.compile(
    r'"[^"\n]{1,300}"'
    r"|“[^”\n]{1,300}”"
    r"|«[^»\n]{1,300}»"
    r"|\B'[^'\n]{1,80}'\B"
    r"|https?://[^\s<>\"']+"
    r"|[\w.+-]+@[\w-]+\.[\w.-]*\w"
    r"|[\w@.+:/#%$-]*\d(?:[\w@.+:/#%-]*[\w%])?"
    r"|\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day\b"
    r"|\b(?:January|February|April|June|July|August|September|October|November|December)\b"
)
_RUNS = re2.compile(r"<\*>(?:[ \t,]*<\*>)+")


@dataclass(frozen=True, slots=True)
class Signature:
    """A call site as seen in one request.

    Attributes:
        kind: ``"system"`` where the frame is a system or developer prompt, ``"user"`` where there is
            none and the frame is the first user message.
        frame: That text with its values replaced by ``<*>``.
        tools: Fingerprint of the tools' names and parameter schemas in any order, "" for none.
        form: Fingerprint of the response format, "" for none.
    """

    kind: str
    frame: str
    tools: str
    form: str

    @property
    def bucket(self) -> str:
        """What two call sites must share before their prompts are compared at all."""
        return f"{self.kind}|{self.tools}|{self.form}"

    @property
    def open_bucket(self) -> str:
        """The same for call sites whose tools differ from call to call; "" for a request without tools."""
        return f"{self.kind}|*|{self.form}" if self.tools else ""

    @property
    def sample(self) -> Signature:
        """What its payloads are sampled by: without a prompt every message has a frame of its own."""
        return self if self.kind == "system" else Signature(self.kind, "", self.tools, self.form)

    @property
    def key(self) -> str:
        """Hash of the whole signature: equal for equal call sites."""
        return _hash(f"{self.bucket}|{self.frame}")


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools that a request offers.

    Attributes:
        fingerprint: Hash of their names and parameter schemas in any order, "" for none.
        names: Their names, in the request's order.
        digest: Hash of all that is said of them, descriptions too.
    """

    fingerprint: str
    names: tuple[str, ...]
    digest: str


NO_TOOLS = Tools("", (), "")


@dataclass(frozen=True, slots=True)
class Look:
    """What a request shows of its call site.

    Attributes:
        signature: What identifies it.
        tools: The tools offered.
        wording: Hash of the prompt with its values in place, "" where there is no prompt.
    """

    signature: Signature
    tools: Tools
    wording: str


class SignatureReader:
    """Reads signatures and remembers the parts that repeat from request to request.

    Static prompts and tool lists recur in every call of a site, so their skeletons and fingerprints
    are kept by content; user text never is.
    """

    __slots__ = ("_frames", "_tools")

    def __init__(self) -> None:
        self._frames: dict[str, tuple[str, str]] = {}
        self._tools: dict[bytes, Tools] = {}

    def read(self, request: JsonObject) -> Signature:
        """Return the signature of a chat-completions request; never raises on odd shapes."""
        return self.look(request).signature

    def look(self, request: JsonObject) -> Look:
        """Return the signature with the tools and the wording behind it; never raises on odd shapes."""
        kind, text = static_text(request)
        system = kind == "system"
        frame, wording = self._frame(text) if system else (skeleton(text, limit=MAX_MESSAGE), "")
        tools = self.tools(request)
        form = form_fingerprint(request.get("response_format"))
        return Look(Signature(kind, frame, tools.fingerprint, form), tools, wording)

    def _frame(self, text: str) -> tuple[str, str]:
        found = self._frames.get(text)
        if found is None:
            found = skeleton(text), hashed_wording(text)
            if len(self._frames) >= CACHE_SIZE:
                self._frames.clear()
            self._frames[text] = found
        return found

    def tools(self, request: JsonObject) -> Tools:
        """Return the tools of a request."""
        listed = [request.get("tools"), request.get("functions"), _forced(request)]
        if not any(listed):
            return NO_TOOLS
        try:
            key = orjson.dumps(listed)
        except orjson.JSONEncodeError:  # lone surrogates and integers beyond 64 bits are legal JSON
            key = canonical(listed).encode(errors="surrogatepass")
        found = self._tools.get(key)
        if found is None:
            functions = functions_of(request)
            names = tuple(str(function.get("name")) for function in functions)
            found = Tools(tools_fingerprint(request), names, digest(sorted(map(digest, functions))))
            if len(self._tools) >= CACHE_SIZE:
                self._tools.clear()
            self._tools[key] = found
        return found


def static_text(request: JsonObject) -> tuple[str, str]:
    """Return where the call site's fixed text stands, and that text.

    Returns:
        ``("system", text)`` with the leading system and developer messages joined by newlines, or
        ``("user", text)`` with the first user message where there are none.
    """
    static: list[str] = []
    messages = request.get("messages")
    for message in messages if isinstance(messages, list) else []:
        if not isinstance(message, dict):
            continue
        role = message.get("role")
        if role in _STATIC_ROLES:
            static.append(text_of(message.get("content")))
        elif static:
            break
        elif role == "user":
            return "user", text_of(message.get("content"))
    return ("system", "\n".join(static)) if any(static) else ("user", "")


def hashed_wording(prompt: str) -> str:
    """Hash a prompt with its values in place."""
    return _hash(prompt)


def skeleton(text: str, *, limit: int = MAX_PROMPT) -> str:
    """Replace the values in a prompt by ``<*>``, and the middle of one longer than ``limit``.

    Values are quoted strings, addresses, words with a digit (numbers, dates, ids, hexadecimal),
    names of weekdays and months. Free-form slots are left to :mod:`offramp.discover.templates`.
    """
    text = text.strip()
    if len(text) > limit:
        text = text[: limit // 2] + SLOT + text[-limit // 2 :]
    try:
        masked: str = _VALUES.sub(SLOT, text)
    except UnicodeEncodeError:  # a lone surrogate, which the engine cannot read
        masked = _VALUES.sub(SLOT, text.encode(errors="replace").decode())
    return str(_RUNS.sub(SLOT, masked))


def hashed(text: str | bytes) -> int:
    """Hash a text to 64 bits, the same in every process."""
    # JSON may hold a lone surrogate, which plain UTF-8 refuses.
    raw = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest())


def tools_fingerprint(request: JsonObject) -> str:
    """Hash the tools' names and parameter schemas, whatever their order and their descriptions.

    A tool choice that forces one function is part of it: it makes another call site.
    """
    tools = sorted(canonical([f.get("name"), _structure(f.get("parameters"))]) for f in functions_of(request))
    forced = _forced(request)
    return digest([tools, forced], size=8) if tools or forced else ""


def form_fingerprint(response_format: object) -> str:
    """Hash a response format; "" for none and for plain text."""
    if not isinstance(response_format, dict) or response_format.get("type") == "text":
        return ""
    return digest(_structure(response_format), size=8)


def _hash(text: str) -> str:
    # JSON may hold a lone surrogate, which plain UTF-8 refuses.
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=12).hexdigest()


def _forced(request: JsonObject) -> str:
    for field in ("tool_choice", "function_call"):
        choice = request.get(field)
        if isinstance(choice, dict):
            named = choice.get("function", choice)
            return str(named.get("name", "")) if isinstance(named, dict) else ""
    return ""


def _structure(schema: object) -> object:
    """Drop annotations and the order of scalar lists (``required``, ``enum``)."""
    if isinstance(schema, dict):
        # Below "properties" the keys are names chosen by the user: one may be called "description".
        return {
            key: {name: _structure(part) for name, part in value.items()}
            if key == "properties" and isinstance(value, dict)
            else _structure(value)
            for key, value in schema.items()
            if key not in _ANNOTATIONS or not isinstance(value, str | list)
        }
    if isinstance(schema, list):
        parts = [_structure(item) for item in schema]
        return sorted(parts, key=canonical)
    return schema
