"""What may be printed: no secret, and nothing that drives a terminal. L10."""

from __future__ import annotations

import os
import re
from unicodedata import category
from urllib.parse import unquote, urlsplit

_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_HIDDEN = "…"
_SECRET = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|DSN|_KEY$", re.IGNORECASE)
_SHORTEST = 6  # a shorter value is more likely a word of ours
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_ADDRESS = re.compile(r"(postgres(?:ql)?://)[^\s\"'<>]+", re.IGNORECASE)
# from where a word begins only: tried at each letter, a word of 70,000 would take 10 seconds
_LOGIN = re.compile(r"((?<![a-z0-9+.-])[a-z0-9+.-]+://)[^\s/\"'@]+@", re.IGNORECASE)
_SETTING = re.compile(
    r"((?:pass(?:word|wd|file)?|secret|token|api_?key)[\"']?\s*[=:]\s*)"
    r"('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s,;&\"']+)",
    re.IGNORECASE,
)


def printable(text: str) -> str:
    """``text`` in which no id can drive the terminal, turn the line around or hide.

    Control, direction and zero-width characters are replaced; spaces of every kind stay.
    """
    return "".join(
        c if c in "\n\t" or category(c) not in _UNSEEN else "\N{REPLACEMENT CHARACTER}"
        for c in text
    )


def without_known(text: str) -> str:
    """``text`` without the secrets that the environment holds, whatever it is about.

    Secret is what is called password, secret, token, key or DSN, and of an address with a password
    both.
    """
    for secret in sorted(_known(), key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return text


def masked(text: str) -> str:
    """``text`` without known secrets and without what looks like one: addresses, logins, settings.

    For what is said; data may look so and are not changed.
    """
    text = _ADDRESS.sub(rf"\1{_HIDDEN}", without_known(text))
    text = _LOGIN.sub(rf"\1{_HIDDEN}@", text)
    return _SETTING.sub(rf"\1{_HIDDEN}", text)


def _known() -> set[str]:
    found = set()
    for name, value in os.environ.items():
        if _SECRET.search(name):
            found.add(value)
        if _SCHEME.match(value) and (password := _password(value)):
            found |= {value, password, unquote(password)}
    return {value for value in found if len(value) >= _SHORTEST}


def _password(address: str) -> str | None:
    try:
        return urlsplit(address).password
    except ValueError:
        return None
