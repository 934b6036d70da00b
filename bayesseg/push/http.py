"""Requests to a CRM: over verified TLS, repeated only where that is safe, bounded in time. L10."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bayesseg.errors import DestinationFailed, ResourcesMissing, UsageError

if TYPE_CHECKING:
    import urllib3

type Say = Callable[[str], None]

_HERE = ("localhost", "127.0.0.1", "::1")
_NOT_DONE = (423, 429)
"""Answers that say the request was not carried out."""
_PASSING = (408, *_NOT_DONE, 477, 500, 502, 503, 504, 524)
"""Answers that may be another one in a while."""
_CONNECT = 15.0
_LONGEST_MESSAGE = 400


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long to try; times in seconds.

    A wait is ``first`` doubled each time, at most ``longest``, less a random half; or longer, where the
    other side asks for it. ``answer`` bounds one answer, ``total`` the whole push.
    """

    attempts: int = 8
    first: float = 1.0
    longest: float = 60.0
    total: float = 3600.0
    answer: float = 120.0
    seed: int = 1
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class AnswerLost(Exception):
    """No answer came: the request may have been carried out, or not."""


@dataclass(frozen=True, slots=True)
class Line:
    """A way to one destination, called ``name``; ``secrets`` are kept out of all that is said.

    ``judge`` is asked of every answer that is a refusal: it raises where trying again is no use, and
    else gives the seconds to wait at least.
    """

    name: str
    address: str
    pool: urllib3.PoolManager
    judge: Callable[[Line, Answer], float]
    say: Say
    patience: Patience
    deadline: float
    chance: random.Random
    secrets: tuple[str, ...] = field(repr=False)


def connect(
    name: str,
    address: str,
    judge: Callable[[Line, Answer], float],
    secrets: tuple[str, ...],
    say: Say,
    patience: Patience,
) -> Line:
    """A way to ``address``; nothing is sent yet.

    Raises:
        UsageError: the address is not ``https://HOST``; ``http`` is for this machine only.
        ResourcesMissing: urllib3 is not installed (the extra ``crm``).
    """
    base = root(name, address)
    try:
        import urllib3
    except ImportError as error:
        raise ResourcesMissing(
            f"pushing to {name} needs urllib3", fix="pip install 'bayesseg[crm]'"
        ) from error
    return Line(
        name,
        base,
        urllib3.PoolManager(cert_reqs="CERT_REQUIRED"),
        judge,
        say,
        patience,
        time.monotonic() + patience.total,
        random.Random(patience.seed),
        secrets,
    )


def root(name: str, address: str) -> str:
    """``address`` as ``https://host``, however it was written.

    Raises:
        UsageError: it is none; ``http`` is for this machine only.
    """
    parts = urlsplit(address)
    secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _HERE)
    if not secure or not parts.hostname or parts.username or parts.path.strip("/") or parts.query:
        raise UsageError(
            f"{name} is not reached by such an address",
            fix="give https://HOST, without a user, a password or a path",
        )
    return f"{parts.scheme}://{parts.netloc.lower()}"


def ask(
    line: Line,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    repeat: bool = True,
) -> Answer:
    """Send a request until there is an answer that stands.

    Args:
        line: where to.
        method: of HTTP.
        path: from the root of the address.
        body: what to send.
        headers: those of this request.
        repeat: whether carrying the request out twice does what carrying it out once does.

    Raises:
        DestinationFailed: refused for good, or no answer within the patience.
        AnswerLost: with ``repeat=False``: nobody knows whether it was carried out.
    """
    import urllib3

    timeout = urllib3.Timeout(connect=_CONNECT, read=line.patience.answer)
    for attempt in range(line.patience.attempts):
        least = 0.0
        try:
            got = line.pool.request(
                method,
                line.address + path,
                body=body,
                headers=dict(headers or {}),
                retries=False,
                timeout=timeout,
            )
        except urllib3.exceptions.SSLError as error:
            if "CERTIFICATE" in str(error).upper():
                raise DestinationFailed(
                    f"the certificate of {line.address} is not trusted; nothing was sent",
                    fix="check the address; SSL_CERT_FILE names a file of authorities of your own",
                ) from None
            why, unsent = "no secure connection could be made", True
        except (
            urllib3.exceptions.NewConnectionError,
            urllib3.exceptions.ConnectTimeoutError,
        ):
            why, unsent = "nothing answers at that address", True
        except urllib3.exceptions.HTTPError:
            why, unsent = "the connection broke off", False
        else:
            answer = Answer(got.status, got.headers, got.data)
            if answer.status < 400:
                return answer
            least = max(line.judge(line, answer), asked_wait(answer))
            if answer.status not in _PASSING:
                return answer
            why, unsent = f"it answers {message(line, answer)}", answer.status in _NOT_DONE
        if not unsent and not repeat:
            raise AnswerLost(why)
        if attempt + 1 < line.patience.attempts:
            wait(line, attempt, why, least)
    raise DestinationFailed(
        f"{line.name} did not take it in {line.patience.attempts} attempts: {why}",
        fix="run the same again later; what was taken stays as it is",
    )


def wait(line: Line, attempt: int, why: str, least: float = 0.0) -> None:
    """Wait before the next attempt, unless the time of the whole push would run out.

    Raises:
        DestinationFailed: it would.
    """
    patience = line.patience
    full = min(patience.longest, patience.first * 2.0 ** min(attempt, 60))
    seconds = max(least, full * line.chance.uniform(0.5, 1.0))
    if time.monotonic() + seconds > line.deadline:
        raise DestinationFailed(
            f"{line.name}: {why}; waiting {seconds:,.0f} s more would pass the "
            f"{patience.total:,.0f} s of a push",
            fix="run the same again later; what was taken stays as it is",
        )
    if seconds >= 1:
        line.say(f"{line.name}: {why}; again in {seconds:,.0f} s")
    patience.sleep(seconds)


def asked_wait(answer: Answer) -> float:
    """Seconds that ``Retry-After`` asks for, a number or a date; 0 where it asks for nothing."""
    said = answer.headers.get("Retry-After", "").strip()
    if said.isdecimal():
        return float(said)
    try:
        when = parsedate_to_datetime(said)
    except ValueError:
        return 0.0
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def message(line: Line, answer: Answer) -> str:
    """What an answer says, with its status, without secrets and not at length."""
    said = answer.json()
    first = said[0] if isinstance(said, list) and said else said
    text = ""
    if isinstance(first, dict):
        keys = ("message", "errorMessage", "error_description", "errorCode", "error")
        text = next((str(first[key]) for key in keys if first.get(key)), "")
    return f"{answer.status} {without(line, text)}".strip()


def without(line: Line, text: str) -> str:
    """``text`` without the secrets of ``line``, cut where it is long."""
    for secret in line.secrets:
        text = text.replace(secret, "…")
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}…"


def barred(line: Line, answer: Answer, fix: str) -> ResourcesMissing:
    """The error of an answer that stands until somebody gives access: repeating is of no use."""
    return ResourcesMissing(f"{line.name} refuses: {message(line, answer)}", fix=fix)


def refused(line: Line, answer: Answer, fix: str) -> DestinationFailed:
    """The error of an answer that will not change by asking again."""
    return DestinationFailed(f"{line.name} refuses: {message(line, answer)}", fix=fix)
