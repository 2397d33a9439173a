"""The `Prefer` header (RFC 7240) and the `Idempotency-Key` header. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
_WORD: Final = rf"(?:{_TOKEN}|{_QUOTED})"
_PREFERENCE: Final = re.compile(rf"\s*({_TOKEN})(?:\s*=\s*({_WORD})?)?\s*(?:;[^,]*)?\s*")
_SEPARATE: Final = re.compile(rf'(?:[^,"]|{_QUOTED})+')
_KEY: Final = re.compile(rf"\s*({_QUOTED})\s*(?:;.*)?")


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a client prefers, of what we know.

    wait: seconds that it would wait for a final answer. respond_async: it would rather not wait.
    """

    wait: int | None = None
    respond_async: bool = False


_NONE: Final = Preferences()


def read_preferences(headers: Sequence[str]) -> Preferences:
    """Return what `Prefer` headers say; what is not understood is left out (RFC 7240)."""
    if not headers:
        return _NONE
    known: dict[str, str] = {}
    for header in headers:
        for part in _SEPARATE.findall(header):
            if match := _PREFERENCE.fullmatch(part):
                # Of one that is named twice the first counts.
                known.setdefault(match[1].lower(), _plain(match[2] or ""))
    wait = known.get("wait", "")
    return Preferences(
        # Digits of ASCII, and no more of them than anybody can wait for.
        wait=int(wait) if re.fullmatch(r"[0-9]{1,9}", wait) else None,
        respond_async="respond-async" in known,
    )


def read_idempotency_key(header: str) -> str | None:
    """Return the key, quoted (a structured field's string) or bare; None if it is none."""
    match = _KEY.fullmatch(header)
    key = _plain(match[1]) if match else header.strip()
    return key if 0 < len(key) <= 255 and key.isascii() and key.isprintable() else None


def _plain(word: str) -> str:
    """A word without its quotes."""
    return re.sub(r"\\(.)", r"\1", word[1:-1]) if word.startswith('"') else word
