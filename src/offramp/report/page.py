"""The report as one HTML file: no network, no script, readable on paper and on a phone."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from offramp.report import scan_sections, sections
from offramp.report.markup import Markup, join, tag
from offramp.report.scan_words import scan_headline
from offramp.report.tiles import tiles
from offramp.report.words import headline

if TYPE_CHECKING:
    from offramp.report.results import Scan
    from offramp.report.summary import Summary

# Nothing is loaded and nothing runs, even if a task's name tried to make it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def render_page(summary: Summary) -> str:
    """Render a summary.

    Returns:
        A complete HTML document; write it as UTF-8.

    Raises:
        BadInput: The summary's plan holds costs of the wrong shape.
    """
    parts = _report(summary) if summary.scan is None else _scan(summary, summary.scan)
    description = headline(summary) if summary.scan is None else scan_headline(summary, summary.scan)
    document = tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
            tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name_="color-scheme", content="light dark"),
            tag("meta", name_="description", content=description),
            tag("title", summary.title or "offramp report"),
            tag("style", _style()),
        ),
        tag("body", tag("main", *(part for part in parts if part is not None))),
        lang="en",
    )
    return join(Markup("<!doctype html>\n"), document, "\n")


def _report(summary: Summary) -> tuple[Markup | None, ...]:
    return (
        sections.header(summary),
        tiles(summary),
        sections.savings(summary),
        sections.evidence(summary),
        sections.tasks(summary),
        sections.confidence(summary),
        sections.learning(summary),
        sections.making(summary),
        sections.notes(summary),
    )


def _scan(summary: Summary, scan: Scan) -> tuple[Markup | None, ...]:
    return (
        scan_sections.header(summary, scan),
        scan_sections.tiles(summary, scan),
        scan_sections.overview(summary, scan),
        sections.savings(summary) if summary.live else None,
        scan_sections.task_map(summary),
        scan_sections.promises(summary),
        sections.learning(summary),
        scan_sections.honest(summary, scan),
        scan_sections.footnote(summary, scan),
        sections.making(summary) if not scan.quick else None,
    )


def _style() -> Markup:
    return Markup(files("offramp").joinpath("assets/report.css").read_text(encoding="utf-8"))
