"""HTML and SVG that cannot be broken out of: whatever is not markup already is escaped."""

from __future__ import annotations

import html
import re
import unicodedata
from itertools import accumulate

# C0 and C1 controls but tab and newline, surrogates, and the characters that turn text around: none of them
# belongs on a page, and each is a way to make a name look like something else.
_UNWANTED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def plain(value: object) -> str:
    """Text without control characters, direction overrides and lone surrogates."""
    return _UNWANTED.sub(_REPLACEMENT, str(value))


def escape(value: object) -> Markup:
    """Escape for element content and quoted attributes alike; markup stays as it is.

    A percent sign stays on the line of its figure.
    """
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(plain(value), quote=True).replace(" %", "\N{NO-BREAK SPACE}%"))


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """Build an element.

    Args:
        name: Its name; void elements get no closing tag.
        children: Content: markup as it is, everything else escaped; None is left out.
        attributes: ``class_`` and the like lose the underscore at the end, others become dashes; None and
            False are left out, floats are rounded to a tenth.
    """
    rendered = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_attribute(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    content = "".join(escape(child) for child in children if child is not None)
    if name in ("meta", "br", "hr"):
        return Markup(f"<{name}{rendered}>")
    return Markup(f"<{name}{rendered}>{content}</{name}>")


def join(*parts: object) -> Markup:
    """Put parts one after the other, escaping what is not markup."""
    return Markup("".join(escape(part) for part in parts if part is not None))


def shorten(text: str, width: int) -> str:
    """Cut to at most ``width`` terminal columns, with an ellipsis where something was cut."""
    clean = " ".join(plain(text).split())
    if columns(clean) <= width:
        return clean
    return _fitting(clean, width - 1).rstrip() + _ELLIPSIS


def bounded(text: str, width: int) -> Markup:
    """Text of at most ``width`` columns; where it was cut, the whole of it is its tooltip."""
    shown = shorten(text, width)
    whole = " ".join(plain(text).split())
    return escape(shown) if shown == whole else tag("span", shown, title=shorten(text, 20 * width))


def elide(text: str, width: int) -> str:
    """Cut the middle out where a text is wider than ``width`` columns: names differ at their ends."""
    clean = " ".join(plain(text).split())
    if columns(clean) <= width:
        return clean
    head = shorten(clean, max(2, width * 2 // 5))
    return head + _fitting(clean[::-1], width - columns(head))[::-1]


def columns(text: str) -> int:
    """Terminal columns that a text takes: wide characters two, combining marks none."""
    return sum(map(_columns_of, text))


def _columns_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _fitting(text: str, width: int) -> str:
    """The longest beginning of a text that takes at most ``width`` columns."""
    for index, taken in enumerate(accumulate(map(_columns_of, text))):
        if taken > width:
            return text[:index]
    return text


def _attribute(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.1f}".rstrip("0").rstrip(".")
    return "" if value is True else value
