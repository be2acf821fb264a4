"""The ledger compared with what OpenAI billed, day by day.

Titlecard charges before it sends, so a project's ledger is never below what its own requests were billed. Whatever
OpenAI bills beyond that was sent by somebody else: with a leaked key, or by code that does not use the ledger. The
opposite is common and harmless: a lost answer is charged its bound, and OpenAI rarely bills a bound in full.

::

    charged  ├───────────── ours ─────────────┤── bounds ──┤
    billed   ├───────────── ours ─────────────┤                        never billed = charged - billed
    billed   ├───────────── ours ─────────────┤── bounds ──┤▒▒▒▒▒▒▒▒▒  unknown = billed - charged, or another model

Requests are compared as well as tokens: the ledger counts every request that may have been sent, so any other request
is a stranger's, even if its tokens fit within the bounds. Days are in UTC, in the ledger and at OpenAI. OpenAI may bill
a request sent before midnight on the next day, so a day's excess is first matched to the previous day's unbilled rest.

OpenAI's usage API (API reference, "Usage: completions") counts the Responses API too. It needs an admin key. The key
goes to OpenAI alone: no redirect is followed, and no message of this module contains the key.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, NoReturn
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from titlecard.domain.text import one_line
from titlecard_console.errors import CommandError, UsageUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from openai import APIStatusError

    from titlecard.aws.dynamodb.ledger import Month

OPENAI = "https://api.openai.com/v1"

ADMIN_KEY = "OPENAI_ADMIN_KEY"
"""The environment variable that holds the admin key; OpenAI's own client reads the same one."""

DAYS_PER_PAGE = 31
"""The most daily buckets that OpenAI returns at once."""

REQUEST_SECONDS = 30.0
RETRIES = 3
"""The most times OpenAI's client retries a throttled or failed request, which takes up to two minutes."""

MESSAGE_CHARACTERS = 300
"""The most characters shown of OpenAI's error message."""

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_KEY = re.compile(r"\b(sk|sess)-[\w*.-]+")
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_SECONDS = re.compile("[1-9][0-9]{0,5}")


def count(requests: int, tokens: int) -> Counter[str]:
    """Return a number of requests and of tokens (input plus output)."""
    return Counter(requests=requests, tokens=tokens)


@dataclass(frozen=True, slots=True)
class Billed:
    """OpenAI's bill of a day for one key and one model; None if OpenAI does not name them."""

    day: date
    key: str | None
    model: str | None
    count: Counter[str]


@dataclass(frozen=True, slots=True)
class Charged:
    """The ledger's charges of a project for each day, and their models."""

    days: Mapping[date, Counter[str]]
    models: Collection[str]

    @classmethod
    def of(cls, months: Iterable[Month]) -> Charged:
        """Build from the ledger's months."""
        days: dict[date, Counter[str]] = {}
        models: set[str] = set()
        for month in months:
            first = date.fromisoformat(f"{month.name}-01")
            days |= {first.replace(day=day): count(part.requests, part.tokens) for day, part in month.days.items()}
            models |= set(month.models)
        return cls(days, models)


@dataclass(frozen=True, slots=True)
class Day:
    """A day, reconciled.

    Attributes:
        late: billed beyond the day's charges, but charged and not billed on the day before.
        unknown: billed, but not charged by the ledger.
        unbilled: charged, but not billed: the bounds of lost answers, or what OpenAI has not counted yet.
    """

    day: date
    charged: Counter[str]
    billed: Counter[str]
    late: Counter[str]
    unknown: Counter[str]
    unbilled: Counter[str]


# ------------------------------------------------------------------------------------------------------ the comparison


def compare(charged: Charged, billed: Iterable[Billed], first: date, last: date) -> list[Day]:
    """Compare charges with the bill, for each day from the first to the last.

    Args:
        charged: the ledger's charges, including the day before the first.
        billed: OpenAI's bill, including the day before the first.
    """
    ours: dict[date, Counter[str]] = defaultdict(Counter)
    foreign: dict[date, Counter[str]] = defaultdict(Counter)
    for one in billed:
        known = one.model is None or _DATED.sub("", one.model) in charged.models or one.model in charged.models
        of_day = ours if known else foreign
        of_day[one.day] += one.count
    compared, under = [], Counter[str]()
    for day in days(first - timedelta(days=1), last):
        account = charged.days.get(day, Counter[str]())
        over, before, under = ours[day] - account, under, account - ours[day]  # a difference is at least zero
        unknown = (over - before) + foreign[day]
        compared.append(Day(day, +account, ours[day] + foreign[day], over & before, unknown, under))
    return compared[1:]


def days(first: date, last: date) -> Iterator[date]:
    """Yield every day from the first to the last."""
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


# ------------------------------------------------------------------------------------------------------- OpenAI's bill


class UsageClient:
    """OpenAI's usage API, through OpenAI's own client.

    Args:
        key: an admin key.

    Raises:
        CommandError: the key must not be sent to that URL.
    """

    def __init__(self, key: str, url: str = OPENAI) -> None:
        address = urlsplit(url)
        if address.scheme != "https" and not (address.scheme == "http" and address.hostname in _LOOPBACK):
            raise CommandError(f"An admin key is not sent to {url}: it must begin with https://.")
        self._key = key
        self._url = url

    def billed(
        self, first: date, last: date, *, keys: Sequence[str] = (), projects: Sequence[str] = ()
    ) -> list[Billed]:
        """Return what was billed from the first to the last day, by key and model.

        Args:
            keys: the ids of the API keys to include; empty means all.
            projects: the ids of the OpenAI projects to include; empty means all.

        Raises:
            CommandError: the key is wrong or may not read usage, or an id is unknown.
            UsageUnavailable: OpenAI did not answer, or its response has an unknown form.
        """
        from openai import DefaultHttpxClient, OpenAI, omit  # noqa: PLC0415 -- it takes a second to import, and only this command needs it

        http = DefaultHttpxClient(follow_redirects=False)  # a redirect would send the key elsewhere
        with closing(
            OpenAI(
                admin_api_key=self._key,
                base_url=self._url,
                timeout=REQUEST_SECONDS,
                max_retries=RETRIES,
                http_client=http,
            )
        ) as client:
            ask = partial(
                client.admin.organization.usage.with_raw_response.completions,
                start_time=_midnight(first),
                end_time=_midnight(last + timedelta(days=1)),
                bucket_width="1d",
                limit=DAYS_PER_PAGE,
                group_by=["api_key_id", "model"],
                api_key_ids=list(keys) or omit,
                project_ids=list(projects) or omit,
            )
            return list(self._pages(ask))

    def _pages(self, ask: Callable[..., Any]) -> Iterator[Billed]:
        seen: set[str | None] = {None}
        page: str | None = None
        while True:
            answer = self._page(ask, page)
            for bucket in answer.data:
                day = datetime.fromtimestamp(bucket.start_time, UTC).date()
                yield from (Billed(day, it.api_key_id, it.model, it.count) for it in bucket.results)
            if not answer.has_more:
                return
            page = answer.next_page
            if page in seen:
                raise UsageUnavailable("OpenAI's usage API reports more pages, but names no new one: try again.")
            seen.add(page)

    def _page(self, ask: Callable[..., Any], page: str | None) -> _Page:
        from openai import APIConnectionError, APIStatusError, omit  # noqa: PLC0415 -- as above

        try:
            answer = ask(page=page or omit)
        except APIStatusError as error:
            self._refuse(error)
        except APIConnectionError as error:
            reason = self._without_keys(str(error.__cause__ or error))
            raise UsageUnavailable(f"OpenAI's usage API cannot be reached: {reason}") from None
        try:
            return _Page.model_validate_json(answer.content)
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(str(step) for step in problem["loc"]) or "the body"
            raise UsageUnavailable(
                f"OpenAI's usage API answered in an unknown form ({place}: {problem['msg']}): nothing is compared."
            ) from None

    def _refuse(self, error: APIStatusError) -> NoReturn:
        """Explain an error response from OpenAI.

        Raises:
            CommandError: the person can correct it.
            UsageUnavailable: OpenAI is at fault.
        """
        body = error.body
        words = body.get("message") if isinstance(body, dict) else None
        words = one_line(str(words or error.response.reason_phrase or "no message"))
        words = self._without_keys(words)[:MESSAGE_CHARACTERS].rstrip(". ")
        match error.status_code:
            case HTTPStatus.UNAUTHORIZED:
                raise CommandError(
                    f"OpenAI does not know the key in {ADMIN_KEY} (401). Make an admin key at "
                    "https://platform.openai.com/settings/organization/admin-keys."
                ) from None
            case HTTPStatus.FORBIDDEN:
                raise CommandError(
                    f"The key in {ADMIN_KEY} may not read the organization's usage (403): it must be an admin key, not "
                    "a project's, with the permission to read usage."
                ) from None
            case HTTPStatus.BAD_REQUEST | HTTPStatus.NOT_FOUND:
                raise CommandError(
                    f"OpenAI rejects the request ({error.status_code}): {words}. Is the id of the key or of the "
                    "project right?"
                ) from None
        wait = error.response.headers.get("retry-after", "")
        later = f" Try again in {wait} seconds." if _SECONDS.fullmatch(wait) else ""
        raise UsageUnavailable(f"OpenAI's usage API does not answer ({error.status_code}): {words}.{later}") from None

    def _without_keys(self, text: str) -> str:
        return _KEY.sub("(a key)", text.replace(self._key, "(a key)"))


class _Result(BaseModel):
    """The fields of a result that we use; strict, so that nothing is guessed."""

    model_config = ConfigDict(strict=True)

    input_tokens: Annotated[int, Field(ge=0)]
    output_tokens: Annotated[int, Field(ge=0)]
    num_model_requests: Annotated[int, Field(ge=0)]
    api_key_id: str | None = None
    model: str | None = None

    @property
    def count(self) -> Counter[str]:
        return count(self.num_model_requests, self.input_tokens + self.output_tokens)


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
