"""The ledger against OpenAI's bill: unknown and unbilled charges, and an API that does not always answer."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.provider.usage import ADMIN_KEY, LoopbackUsage, Response, Used, error

from titlecard.aws.dynamodb.ledger import Month, Spent
from titlecard.domain.money import Amount, Total
from titlecard_console.errors import CommandError, UsageUnavailable
from titlecard_console.reconcile import Billed, Charged, Day, UsageClient, compare, count

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

MONDAY = date(2026, 11, 16)
TUESDAY = MONDAY + timedelta(days=1)
MODEL, KEY = "gpt-6-luna", "key_ours"

# ------------------------------------------------------------------------------------------------------- two accounts


def day(
    charged: Counter[str], *billed: Counter[str], model: str | None = MODEL, before: Counter[str] | None = None
) -> Day:
    """Reconcile Tuesday; `before` is what Monday was charged but not billed."""
    account = Charged({TUESDAY: charged, MONDAY: before or count(0, 0)}, {MODEL})
    (compared,) = compare(account, [Billed(TUESDAY, KEY, model, count) for count in billed], TUESDAY, TUESDAY)
    return compared


def test_a_bill_that_the_ledger_knows_holds_nothing_unknown() -> None:
    compared = day(count(3, 900), count(1, 300), count(2, 600))
    assert not compared.unknown
    assert not compared.unbilled


def test_tokens_beyond_the_ledger_are_unknown() -> None:
    assert day(count(2, 900), count(2, 1_000)).unknown == count(0, 100)


def test_an_extra_request_is_unknown_even_if_its_tokens_fit_below_lost_bounds() -> None:
    assert day(count(2, 3_600), count(3, 1_000)).unknown == count(1, 0)


def test_a_model_without_charges_is_unknown_even_below_the_bounds() -> None:
    compared = day(count(2, 3_600), count(1, 500), model="gpt-9-sol")
    assert compared.unknown == count(1, 500)
    assert compared.unbilled == count(2, 3_600)


@pytest.mark.parametrize("model", [f"{MODEL}-2026-07-01", None])
def test_a_dated_model_name_and_a_missing_one_are_known(model: str | None) -> None:
    assert not day(count(2, 900), count(2, 900), model=model).unknown


def test_a_model_whose_name_only_begins_alike_is_unknown() -> None:
    assert day(count(2, 900), count(1, 400), model=f"{MODEL}-pro").unknown == count(1, 400)


def test_a_charge_that_was_not_billed_is_reported() -> None:
    assert day(count(3, 4_000), count(2, 700)).unbilled == count(1, 3_300)


def test_a_request_billed_after_midnight_is_not_unknown() -> None:
    compared = day(count(1, 300), count(2, 650), before=count(1, 350))
    assert compared.late == count(1, 350)
    assert not compared.unknown


def test_an_excess_above_the_day_before_is_unknown() -> None:
    assert day(count(1, 300), count(5, 2_000), before=count(1, 350)).unknown == count(3, 1_350)


def test_a_bill_without_charges_is_unknown() -> None:
    compared = compare(Charged({}, ()), [Billed(MONDAY, None, MODEL, count(7, 7_000))], MONDAY, TUESDAY)
    assert [it.unknown for it in compared] == [count(7, 7_000), count(0, 0)]


COUNTS = st.builds(count, st.integers(0, 50), st.integers(0, 50_000))


@given(st.lists(st.tuples(COUNTS, COUNTS), min_size=1, max_size=8))
def test_everything_billed_is_charged_or_late_or_unknown(accounts: list[tuple[Counter[str], Counter[str]]]) -> None:
    days = [MONDAY + timedelta(days=number) for number in range(len(accounts))]
    charged = Charged(dict(zip(days, (it for it, _ in accounts), strict=True)), {MODEL})
    billed = [Billed(at, KEY, MODEL, it) for at, (_, it) in zip(days, accounts, strict=True)]
    for it in compare(charged, billed, days[0], days[-1]):
        assert not it.billed - (it.charged + it.late + it.unknown)
        assert not (it.unknown["tokens"] and it.unbilled["tokens"])


def month(name: str, days: dict[int, Total], model: str) -> Month:
    """Return a month as the ledger returns it."""
    return Month(name, Spent(Amount(), Total(), Total()), days, {model: Total()})


def test_the_ledgers_months_become_days() -> None:
    months = [month("2026-10", {31: Total(1, 10)}, MODEL), month("2026-11", {1: Total(2, 20)}, "gpt-6-sol")]
    assert Charged.of(months) == Charged(
        {date(2026, 10, 31): count(1, 10), date(2026, 11, 1): count(2, 20)}, {MODEL, "gpt-6-sol"}
    )


# --------------------------------------------------------------------------------------------------------- OpenAI's API


@pytest.fixture
def usage() -> Iterator[LoopbackUsage]:
    with LoopbackUsage(
        Used(MONDAY, KEY, MODEL, 2, 800, 100),
        Used(TUESDAY, KEY, MODEL, 1, 400, 50),
        Used(TUESDAY, "key_stranger", "gpt-9-sol", 9, 90_000, 9_000),
        Used(TUESDAY, KEY, MODEL, 1, 40, 5, project_id="proj_other"),
    ) as server:
        yield server


def asked(usage: LoopbackUsage, first: date = MONDAY, last: date = TUESDAY, **what: Any) -> list[Billed]:  # noqa: ANN401 -- passed on
    return UsageClient(ADMIN_KEY, usage.url).billed(first, last, **what)


def test_a_bill_comes_by_day_and_key_and_model(usage: LoopbackUsage) -> None:
    assert asked(usage, projects=["proj_tests"]) == [
        Billed(MONDAY, KEY, MODEL, count(2, 900)),
        Billed(TUESDAY, KEY, MODEL, count(1, 450)),
        Billed(TUESDAY, "key_stranger", "gpt-9-sol", count(9, 99_000)),
    ]


def test_the_bill_is_limited_to_the_named_keys(usage: LoopbackUsage) -> None:
    assert {it.key for it in asked(usage, keys=[KEY])} == {KEY}


def test_every_page_is_read(usage: LoopbackUsage) -> None:
    usage.used = [Used(MONDAY + timedelta(days=number), KEY, MODEL, 1, 1, 0) for number in range(100)]
    assert len(asked(usage, MONDAY, MONDAY + timedelta(days=99))) == 100
    assert [query.get("page") for query in usage.queries] == [None, ["page_31"], ["page_62"], ["page_93"]]


def test_the_range_includes_the_whole_last_day(usage: LoopbackUsage) -> None:
    asked(usage)
    (query,) = usage.queries
    times = [datetime.fromtimestamp(int(query[name][0]), UTC) for name in ("start_time", "end_time")]
    assert times == [datetime(2026, 11, 16, tzinfo=UTC), datetime(2026, 11, 18, tzinfo=UTC)]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_transient_error_is_retried(usage: LoopbackUsage, status: int) -> None:
    usage.instead = [error(status, None, "Not now.", retry_after="0.01")] * 3
    assert len(asked(usage)) == 3


def test_a_lasting_error_is_reported(usage: LoopbackUsage) -> None:
    usage.instead = [error(429, "rate_limit_exceeded", "Too many of them.", retry_after="0.01")] * 4
    with pytest.raises(UsageUnavailable, match=r"\(429\): Too many of them\."):
        asked(usage)


def test_a_long_wait_is_reported_and_not_waited_for(usage: LoopbackUsage) -> None:
    usage.instead = [error(429, None, "Not today.", retry_after="3600")]
    with pytest.raises(UsageUnavailable, match="Try again in 3600 seconds"):
        asked(usage)


@pytest.mark.parametrize("wait", ["9" * 5_000, "Mon, 01 Jan 99999999999 00:00:00 GMT", "soon", "-1", "0"])
def test_a_wait_that_cannot_be_read_is_not_reported(usage: LoopbackUsage, wait: str) -> None:
    usage.instead = [error(429, None, "Not today.", retry_after=wait, retry_after_ms="1")] * 4
    with pytest.raises(UsageUnavailable, match=r"\(429\): Not today\.$"):
        asked(usage)


@pytest.mark.parametrize(("status", "words"), [(520, "no message"), (502, "Bad Gateway"), (999, "no message")])
def test_an_error_without_a_message_is_reported_by_its_status(usage: LoopbackUsage, status: int, words: str) -> None:
    usage.instead = [Response(status, "<html>", {"retry-after-ms": "1"})] * 4
    with pytest.raises(UsageUnavailable, match=rf"\({status}\): {words}\.$"):
        asked(usage)


def test_a_wrong_admin_key_is_refused_and_not_shown(usage: LoopbackUsage) -> None:
    with pytest.raises(CommandError, match="does not know the key in OPENAI_ADMIN_KEY") as refusal:
        UsageClient("sk-admin-mistyped", usage.url).billed(MONDAY, TUESDAY)
    assert "mistyped" not in str(refusal.value)


def test_a_projects_key_is_refused_in_place_of_an_admin_key(usage: LoopbackUsage) -> None:
    with pytest.raises(CommandError, match="it must be an admin key") as refusal:
        UsageClient("sk-proj-secret", usage.url).billed(MONDAY, TUESDAY)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("status", [400, 404])
def test_an_unknown_openai_project_is_refused(usage: LoopbackUsage, status: int) -> None:
    usage.instead = [error(status, None, "No such project: proj_typo.")]
    with pytest.raises(CommandError, match=r"No such project: proj_typo\. Is the id"):
        asked(usage, projects=["proj_typo"])


@pytest.mark.parametrize("status", [400, 418, 429, 502])
def test_no_key_is_in_any_message(usage: LoopbackUsage, status: int) -> None:
    body = f"Your key {ADMIN_KEY} and your key sk-proj-abc123 will not do."
    usage.instead = [error(status, None, body, retry_after="999")]
    with pytest.raises((CommandError, UsageUnavailable)) as refusal:
        asked(usage)
    assert "(a key) and your key (a key) will not do" in str(refusal.value)


GOOD: dict[str, Any] = {"input_tokens": 1, "output_tokens": 1, "num_model_requests": 1}


def page(**change: Any) -> str:  # noqa: ANN401 -- any malformed value
    """Return a page of one result with changed fields."""
    return json.dumps({"data": [{"start_time": 0, "results": [GOOD | change]}], "has_more": False})


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>",
        "[]",
        '{"data": null, "has_more": false}',
        '{"data": []}',
        '{"data": [{"start_time": "today", "results": []}], "has_more": false}',
        '{"data": [{"start_time": 1e30, "results": []}], "has_more": false}',
        page(input_tokens=-1),
        page(input_tokens="12"),
        page(output_tokens=None),
        page(output_tokens=1.5),
        page(num_model_requests=True),
        page(model=7),
    ],
)
def test_an_answer_of_an_unknown_form_is_refused_as_a_whole(usage: LoopbackUsage, body: str) -> None:
    usage.instead = [Response(200, body)]
    with pytest.raises(UsageUnavailable, match="in an unknown form"):
        asked(usage)


@pytest.mark.parametrize("pages", [[None], ["page_7", "page_7"]])
def test_pages_without_an_end_are_refused(usage: LoopbackUsage, pages: list[str | None]) -> None:
    usage.instead = [Response(200, json.dumps({"data": [], "has_more": True, "next_page": it})) for it in pages]
    with pytest.raises(UsageUnavailable, match="names no new one"):
        asked(usage)


def test_the_key_is_sent_nowhere_else(usage: LoopbackUsage) -> None:
    with LoopbackUsage() as thief:
        usage.instead = [Response(302, "", {"location": f"{thief.url}/organization/usage/completions"})]
        with pytest.raises(UsageUnavailable, match=r"\(302\)"):
            asked(usage)
        assert not thief.queries


@pytest.mark.parametrize("url", ["http://example.org/v1", "ftp://127.0.0.1/v1", "file:///etc/passwd", "example.org"])
def test_an_unencrypted_address_is_refused(url: str) -> None:
    with pytest.raises(CommandError, match="must begin with https"):
        UsageClient(ADMIN_KEY, url)


def test_an_unreachable_server_is_reported() -> None:
    with LoopbackUsage() as gone:
        url = gone.url
    with pytest.raises(UsageUnavailable, match="cannot be reached"):
        UsageClient(ADMIN_KEY, url).billed(MONDAY, TUESDAY)
