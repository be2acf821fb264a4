"""The ledger held against what OpenAI billed, day by day.

Titlecard charges before it sends, so a project's ledger is never below what its own requests were billed. What OpenAI
bills beyond that was sent by somebody else: with a key that leaked, or by code that knows of no ledger. The other way
round is common and harmless: an answer that was lost is charged its bound, and the bound is hardly ever billed in full.

::

    charged  ├───────────── ours ─────────────┤── bounds ──┤
    billed   ├───────────── ours ─────────────┤                        never billed = charged - billed
    billed   ├───────────── ours ─────────────┤── bounds ──┤▒▒▒▒▒▒▒▒▒  unknown = billed - charged, or another's model

Requests are compared beside tokens: the ledger counts every request that may have been sent, so one more than that is
a stranger's, even where its tokens would fit below the bounds. Days are UTC's, for the ledger as for OpenAI. A request
that is sent before midnight may be billed after it, so what a day is over is first looked for in what the day before
was under.

The API is OpenAI's `GET /organization/usage/completions` (API reference, "Usage"), which counts the Responses API too.
It needs an admin key, which is sent to nobody else: no redirect is followed, and it is in no message of this module.
"""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING, Annotated, Protocol
from urllib.parse import urlencode, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from titlecard_console.errors import CommandError, UsageUnavailable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from email.message import Message
    from typing import IO

OPENAI = "https://api.openai.com/v1"

ADMIN_KEY = "OPENAI_ADMIN_KEY"
"""The environment variable that holds the admin key, as OpenAI's own examples call it."""

DAYS_A_PAGE = 31
"""The most that OpenAI gives at once where a bucket is a day."""

REQUEST_SECONDS = 30.0
TRIES = 4
PATIENCE_SECONDS = 60.0
"""A longer wait than this is told of instead of waited for."""

SAID_CHARACTERS = 300
"""Of what OpenAI says of an error, at most."""

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_KEY = re.compile(r"\b(sk|sess)-[\w*.-]+")
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")


@dataclass(frozen=True, slots=True)
class Count:
    """Requests, and tokens, input and output together."""

    requests: int = 0
    tokens: int = 0

    def __add__(self, other: Count) -> Count:
        """The sum."""
        return Count(self.requests + other.requests, self.tokens + other.tokens)

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.requests or self.tokens)

    def beyond(self, other: Count) -> Count:
        """What this has more than another; nothing where it has less."""
        return Count(max(self.requests - other.requests, 0), max(self.tokens - other.tokens, 0))

    def within(self, other: Count) -> Count:
        """The lower of each."""
        return Count(min(self.requests, other.requests), min(self.tokens, other.tokens))


@dataclass(frozen=True, slots=True)
class Billed:
    """What OpenAI billed on a day for one key and one model; None where OpenAI does not say which."""

    day: date
    key: str | None
    model: str | None
    count: Count


class Part(Protocol):
    """Requests and tokens of a part of what was charged."""

    @property
    def requests(self) -> int:
        """Requests that may have been sent."""

    @property
    def tokens(self) -> int:
        """Tokens, input and output together."""


class Month(Protocol):
    """What a project was charged in a month: on each of its days (by number), and which models it was for."""

    @property
    def name(self) -> str:
        """As in `2026-11`."""

    @property
    def days(self) -> Mapping[int, Part]:
        """By number."""

    @property
    def models(self) -> Collection[str]:
        """By name."""


@dataclass(frozen=True, slots=True)
class Charged:
    """What the ledger knows of a project: what it was charged on each day, and for which models in all."""

    days: Mapping[date, Count]
    models: Collection[str]

    @classmethod
    def of(cls, months: Iterable[Month]) -> Charged:
        """From the ledger's months."""
        days: dict[date, Count] = {}
        models: set[str] = set()
        for month in months:
            first = date.fromisoformat(f"{month.name}-01")
            days |= {first.replace(day=day): Count(part.requests, part.tokens) for day, part in month.days.items()}
            models |= set(month.models)
        return cls(days, models)


@dataclass(frozen=True, slots=True)
class Day:
    """A day, reconciled.

    Attributes:
        late: what is billed beyond the day's charges, and was charged and not billed on the day before.
        unknown: what is billed and stands in no account: a stranger's.
        unbilled: what is charged and not billed: bounds of lost answers, or what OpenAI has not counted yet.
    """

    day: date
    charged: Count
    billed: Count
    late: Count
    unknown: Count
    unbilled: Count


# ------------------------------------------------------------------------------------------------------ the comparison


def compare(charged: Charged, billed: Iterable[Billed], first: date, last: date) -> list[Day]:
    """Hold what was charged against what was billed, for each day from the first to the last.

    Args:
        charged: what the ledger says; of the day before the first one too.
        billed: what OpenAI says, likewise.
    """
    ours: dict[date, Count] = defaultdict(Count)
    foreign: dict[date, Count] = defaultdict(Count)
    for one in billed:
        known = one.model is None or _DATED.sub("", one.model) in charged.models or one.model in charged.models
        of_day = ours if known else foreign
        of_day[one.day] += one.count
    compared, under = [], Count()
    for day in days(first - timedelta(days=1), last):
        account = charged.days.get(day, Count())
        over, before, under = ours[day].beyond(account), under, account.beyond(ours[day])
        unknown = over.beyond(before) + foreign[day]
        compared.append(Day(day, account, ours[day] + foreign[day], over.within(before), unknown, under))
    return compared[1:]


def days(first: date, last: date) -> Iterator[date]:
    """Every day from the first to the last."""
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


# ----------------------------------------------------------------------------------------------------- what OpenAI says


class UsageClient:
    """OpenAI's organization usage API.

    Args:
        key: an admin key.
        url: the base of the API.

    Raises:
        CommandError: the address is not one that a key may be sent to.
    """

    def __init__(self, key: str, url: str = OPENAI) -> None:
        where = urlsplit(url)
        if where.scheme != "https" and not (where.scheme == "http" and where.hostname in _LOOPBACK):
            raise CommandError(f"{url} is no address to send an admin key to: it must begin with https://.")
        self._key = key
        self._url = f"{url.rstrip('/')}/organization/usage/completions"
        self._http = urllib.request.build_opener(_NoRedirect)

    def billed(
        self, first: date, last: date, *, keys: Sequence[str] = (), projects: Sequence[str] = ()
    ) -> list[Billed]:
        """What was billed from the first to the last day, by key and model.

        Args:
            keys: ids of API keys; only these.
            projects: ids of OpenAI projects; only theirs.

        Raises:
            CommandError: the key is wrong, or may not read this, or there is no such thing.
            UsageUnavailable: OpenAI did not answer, or not in a form that is known.
        """
        query = [
            ("start_time", _midnight(first)),
            ("end_time", _midnight(last + timedelta(days=1))),
            ("bucket_width", "1d"),
            ("limit", DAYS_A_PAGE),
            *(("group_by", name) for name in ("api_key_id", "model")),
            *(("api_key_ids", key) for key in keys),
            *(("project_ids", project) for project in projects),
        ]
        found: list[Billed] = []
        seen: set[str] = set()
        page: str | None = None
        while True:
            answer = self._page([*query, *([("page", page)] if page else [])])
            for bucket in answer.data:
                day = datetime.fromtimestamp(bucket.start_time, UTC).date()
                found += [Billed(day, it.api_key_id, it.model, it.count) for it in bucket.results]
            if not answer.has_more:
                return found
            page = answer.next_page
            if page is None or page in seen:
                raise UsageUnavailable("OpenAI's usage API says that there is more, and does not say where: try again.")
            seen.add(page)

    def _page(self, query: Sequence[tuple[str, object]]) -> _Page:
        content = self._get(f"{self._url}?{urlencode(query)}")
        try:
            return _Page.model_validate_json(content)
        except ValidationError as error:
            trouble = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(str(step) for step in trouble["loc"]) or "the body"
            raise UsageUnavailable(
                f"OpenAI's usage API answered in an unknown form ({place}: {trouble['msg']}): nothing is compared."
            ) from None

    def _get(self, url: str) -> bytes:
        """Read an address; what passes is tried again, because reading costs nothing."""
        for tries in range(1, TRIES + 1):
            request = urllib.request.Request(url, headers={"authorization": f"Bearer {self._key}"})  # noqa: S310 -- checked
            try:
                with self._http.open(request, timeout=REQUEST_SECONDS) as answer:
                    return bytes(answer.read())
            except urllib.error.HTTPError as error:
                with error:
                    wait = self._wait(error, tries)
                time.sleep(wait)
            except (OSError, HTTPException) as error:
                reason = getattr(error, "reason", None) or type(error).__name__
                raise UsageUnavailable(
                    f"OpenAI's usage API cannot be reached: {self._without_keys(str(reason))}"
                ) from None
        raise AssertionError("the last try ends in an answer or in an exception")

    def _wait(self, error: urllib.error.HTTPError, tries: int) -> float:
        """For how long to wait after an error that passes, in seconds.

        Raises:
            Refused, NotAnswered: it does not pass.
        """
        said = self._said(error)
        match error.code:
            case HTTPStatus.UNAUTHORIZED:
                raise CommandError(
                    f"OpenAI does not know the key in {ADMIN_KEY} (401). Admin keys are made at "
                    "https://platform.openai.com/settings/organization/admin-keys."
                )
            case HTTPStatus.FORBIDDEN:
                raise CommandError(
                    f"The key in {ADMIN_KEY} may not read the organization's usage (403): it must be an admin key, not "
                    "a project's, with the permission to read usage."
                )
            case HTTPStatus.BAD_REQUEST | HTTPStatus.NOT_FOUND:
                raise CommandError(
                    f"OpenAI refuses the question ({error.code}): {said}. Is the id of the key or of the project right?"
                )
        passes = error.code == HTTPStatus.TOO_MANY_REQUESTS or error.code >= HTTPStatus.INTERNAL_SERVER_ERROR
        wait = _seconds(error.headers.get("retry-after"), otherwise=2.0 ** (tries - 1))
        if passes and tries < TRIES and wait <= PATIENCE_SECONDS:
            return wait
        later = f" It wants to be asked again in {wait:.0f} seconds." if wait > PATIENCE_SECONDS else ""
        raise UsageUnavailable(f"OpenAI's usage API does not answer ({error.code}): {said}.{later}")

    def _said(self, error: urllib.error.HTTPError) -> str:
        """What OpenAI says of an error, without anything that looks like a key."""
        said = str(error.reason)
        with suppress(ValueError, KeyError, TypeError, OSError, HTTPException):
            said = str(json.loads(error.read(64 * 1024))["error"]["message"])
        return self._without_keys(said)[:SAID_CHARACTERS].rstrip(". ")

    def _without_keys(self, text: str) -> str:
        return _KEY.sub("(a key)", text.replace(self._key, "(a key)"))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows none: urllib would send the key along."""

    def redirect_request(
        self, _req: urllib.request.Request, _fp: IO[bytes], _code: int, _msg: str, _headers: Message, _newurl: str
    ) -> None:
        return None


class _Result(BaseModel):
    """What is read of a result; other fields are left alone."""

    model_config = ConfigDict(strict=True)

    input_tokens: Annotated[int, Field(ge=0)]
    output_tokens: Annotated[int, Field(ge=0)]
    num_model_requests: Annotated[int, Field(ge=0)]
    api_key_id: str | None = None
    model: str | None = None

    @property
    def count(self) -> Count:
        return Count(self.num_model_requests, self.input_tokens + self.output_tokens)


class _Bucket(BaseModel):
    model_config = ConfigDict(strict=True)

    start_time: Annotated[int, Field(ge=0, lt=2**33)]
    results: list[_Result]


class _Page(BaseModel):
    model_config = ConfigDict(strict=True)

    data: list[_Bucket]
    has_more: bool
    next_page: str | None = None


def _midnight(day: date) -> int:
    return int(datetime.combine(day, datetime.min.time(), UTC).timestamp())


def _seconds(header: str | None, *, otherwise: float) -> float:
    try:
        return max(float(header), 0.0) if header else otherwise
    except ValueError:  # a date: no need to be that exact
        return otherwise
