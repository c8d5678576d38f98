"""Checks of what was recorded: store, key, rights, losses, freshness."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from offramp.access.guard import check_binding, is_loopback
from offramp.app.build import build
from offramp.app.chosen import AUTO
from offramp.app.doctor.finding import Finding, failure, warning, well
from offramp.app.recording import alarm_of, recording_of
from offramp.app.security import keys_of
from offramp.core.errors import BadSetting, OfframpError

if TYPE_CHECKING:
    from offramp.config import Settings

_OTHERS = 0o077
_DAY_S = 86_400.0


def rights(settings: Settings) -> Finding:
    """Can only the owner read key and store?"""
    for path in (settings.home, settings.key_path, settings.store_path):
        if path.exists() and path.stat().st_mode & _OTHERS:
            mode = f"{path.stat().st_mode & 0o777:o}"
            return failure("rights", f"{path} is open to others (mode {mode})", f"chmod go-rwx {path}")
    return well("rights", "key and store are their owner's")


def store(settings: Settings) -> Finding:
    """Does the store open with its key, and is it written to?"""
    if not settings.store_path.exists():
        return well("store", f"none yet at {settings.store_path}")
    app = build(settings)
    try:
        count = app.store.count()
        last = max((call.at for call in app.store.calls(since=time.time() - _DAY_S, limit=1)), default=0.0)
    except OfframpError as error:
        return failure("store", error.message.rstrip("."), error.hint)
    finally:
        app.close()
    found = f"{count} calls in {settings.store_path}"
    return well("store", found if last or not count else f"{found}, none of the last 24 hours")


def judge(settings: Settings) -> Finding:
    """Was the judge of free text measured before it is relied on?"""
    if not settings.judge.model:
        return well("judge", "none is set up: free text keeps the LLM, but for what `[measures]` says")
    if not settings.store_path.exists():
        return well("judge", f"{settings.judge.model}, not measured yet")
    app = build(settings)
    try:
        measures = app.measures
    except OfframpError as error:
        return failure("judge", error.message.rstrip("."), error.hint)
    finally:
        app.close()
    if not measures.judged:
        return warning(
            "judge",
            f"nobody measured how often {measures.judge} is wrong, so it decides nothing",
            "Label pairs of answers: offramp judge check FILE.",
        )
    return well("judge", f"{measures.judge}, measured for {', '.join(sorted(measures.judged))}")


def base_model(settings: Settings) -> Finding:
    """Is the base model there?"""
    base = Path(settings.train.base)
    if settings.train.base == AUTO:
        return well("base model", "chosen by `offramp convert`")
    if (base / "config.json").is_file():
        return well("base model", str(base))
    if base.is_absolute():
        return failure("base model", f"{base} is no model", "Set [train] base to a directory or a hub name.")
    return well("base model", f"{base} (a hub name, looked up when training)")


def recording(settings: Settings) -> Finding:
    """Is recording on, and whole?"""
    if not settings.record.enabled:
        return warning("recording", "off", "Set [record] enabled = true, or nothing is ever learned.")
    if not settings.store_path.exists():
        return well("recording", "on")
    app = build(settings)
    try:
        alarm = alarm_of(recording_of(app))
    except OfframpError:
        return well("recording", "on; the store does not open")
    finally:
        app.close()
    if alarm:
        return warning("recording", alarm.rstrip("."), "See the log of `offramp serve`.")
    return well("recording", "on, nothing lost")


def binding(settings: Settings) -> Finding:
    """Is the gateway open to others without keys?"""
    host = settings.gateway.host
    if is_loopback(host):
        return well("binding", f"{host}: this machine only")
    app = build(settings) if settings.store_path.exists() else None
    try:
        check_binding(host, 0 if app is None else len(keys_of(app).all()))
    except BadSetting as error:
        return failure("binding", error.message.rstrip("."), error.hint)
    except OfframpError:
        return well("binding", f"{host}; the store does not open")
    finally:
        if app is not None:
            app.close()
    return well("binding", f"{host}, with keys")
