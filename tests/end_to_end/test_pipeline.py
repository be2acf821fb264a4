"""From an upload to its talks, through the real template on the local cloud, with a provider that keeps a bill.

All tests share one stack and one provider; each test has its own project and its own words in titles.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from tests.end_to_end.manifests import answers, array, lines, videos
from tests.end_to_end.stack import KEY, Stack, running

from titlecard.aws.dynamodb.catalog.reviews import Reviews
from titlecard.aws.dynamodb.conversion import convert_values
from titlecard.domain.batch import BatchState, RowState
from titlecard.domain.money import Total
from titlecard.domain.video import Tier
from titlecard.pipeline.publish import FINISHED, SOURCE
from titlecard_console.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.end_to_end.witness import Witness

    from titlecard.aws.dynamodb.catalog import Batch
    from titlecard.domain.batch import Upload

TIMES = {
    "ParserTimeoutSeconds": "30",
    "RequestDeadlineSeconds": "20",
    "SettleMarginSeconds": "5",
    "BatchingWindowSeconds": "0",
    "VisibilitySeconds": "180",
    "RetryBackoffSeconds": "1",
    "AuditAfterSeconds": "11",
    "AuditRounds": "100",
}
"""No test here waits for a timeout, so they can be long enough for a slow machine."""

CLOCK_STEP_SECONDS = 3
"""The most by which the machine's clock may be corrected during a wait: dates in the tables follow it."""


@pytest.fixture(scope="module")
def stack(artefacts: Path, tmp_path_factory: pytest.TempPathFactory, provider: Witness) -> Iterator[Stack]:
    model = {"TierPolicy": "model", "MaxConcurrency": "2"}
    environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": provider.base_url}
    with running(tmp_path_factory.mktemp("pipeline") / "state", TIMES | model, artefacts, environment) as there:
        there.switch_schedule_off()
        yield there


# ------------------------------------------------------------------------------------------------- from file to talks


def test_a_manifest_that_a_command_uploads_becomes_talks(stack: Stack, provider: Witness, tmp_path: Path) -> None:
    content = lines(videos(12, "Console"))
    (tmp_path / "console.jsonl").write_bytes(content)
    work = Run(stack.cloud)
    agreed = Total(requests=12, tokens=1_000_000, micro_usd=1_000_000)
    work.allow("console", [agreed])
    sent = work.upload(tmp_path / "console.jsonl", "console", "console.jsonl", agreed)
    opened: list[Batch | None] = []
    ended = work.follow(
        [sent], lambda _name, _status: None, lambda _sentence: None, lambda: opened.append(stack.batch(sent.upload))
    )
    assert opened[0] is not None
    rows = [result.row for result in work.results(ended[sent])]
    assert [row.video for row in rows] == list(answers(content))
    assert _talks(stack, sent.upload) == answers(content)
    assert {row.tier for row in rows} == {Tier.MODEL}
    assert sum(provider.asked("Console").values()) == 12


def test_a_json_array_that_is_uploaded_by_hand_becomes_talks(stack: Stack) -> None:
    content = array(videos(7, "Array"))
    upload = stack.put("by-hand/list.json", content)
    batch = stack.finished(upload)
    assert (batch.accepted, batch.refused) == (7, 0)
    assert _talks(stack, upload) == answers(content)


def test_rejected_rows_are_reported_and_the_others_continue(stack: Stack) -> None:
    good = videos(3, "Refusals")
    content = b"\n".join(
        (
            lines(good[:1]).strip(),
            b'{"id": "v8", "description": "no title"}',
            b'{"id": "v9", "title": "cut o',
            b'["no", "object"]',
            json.dumps(good[0] | {"title": "Another title under the first one's id"}).encode(),
            lines(good[1:]),
        )
    )
    upload = stack.put("refusals/mixed.jsonl", content)
    batch = stack.finished(upload)
    rejects = [json.loads(line) for line in (stack.report(upload, "rejects.jsonl") or "").splitlines()]
    assert [reject["row"] for reject in rejects] == [2, 3, 4, 5]
    assert all(reject["reason"] for reject in rejects)
    assert (batch.accepted, batch.refused) == (3, 4)
    assert _talks(stack, upload) == answers(content)


def test_the_refusal_of_a_file_says_which_formats_are_accepted(stack: Stack) -> None:
    upload = stack.put("strangers/holiday.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(200))
    report = json.loads(stack.until(lambda: stack.report(upload, "report.json"), "there is a report"))
    stack.until(lambda: stack.catalog.batch(upload.batch).state is BatchState.REFUSED, "the batch is refused")
    assert report["state"] == "refused"
    assert "JSON Lines" in report["message"]
    assert "CSV" in report["message"]


def test_a_message_that_is_not_a_row_becomes_a_dead_letter_with_its_reason(stack: Stack) -> None:
    stack.send("WorkQueueUrl", "what is this?")

    def look() -> str | None:
        return next((letter.reason for letter in stack.dead_letters() if letter.body == "what is this?"), None)

    assert stack.until(look, "it is a dead letter").startswith("undecodable")


# ------------------------------------------------------------------------------------------- nothing is paid for twice


def test_the_same_file_uploaded_again_becomes_talks_and_costs_nothing(stack: Stack, provider: Witness) -> None:
    content = lines(videos(11, "Twice"))
    first = stack.put("twice/list.jsonl", content)
    stack.finished(first)
    second = stack.put("twice/list.jsonl", content)
    stack.finished(second)
    assert first.batch != second.batch
    assert _talks(stack, second) == answers(content)
    assert set(provider.asked("Twice").values()) == {1}
    assert stack.ledger.spent(second.batch).micro_usd == 0


def test_one_event_that_is_delivered_twice_makes_one_batch(stack: Stack, provider: Witness) -> None:
    with stack.held("IngestFunction"):
        upload = stack.put("echo/list.jsonl", lines(videos(11, "Echo")))
        (event,) = stack.take("IngestQueueUrl", 1)
        stack.send("IngestQueueUrl", event["Body"])
        stack.let_go("IngestQueueUrl", [event])
    stack.finished(upload)
    assert stack.batches("echo") == [upload.batch]
    assert stack.states(upload) == {RowState.PARSED: 11}
    assert set(provider.asked("Echo").values()) == {1}


# ------------------------------------------------------------------- a new version while the old one is worked through


@dataclass(frozen=True)
class Versions:
    """Two versions of one file: the new one was uploaded and finished while half of the old messages were in flight.

    `on_time` and `late` are the videos whose old messages arrived before and after the new version.
    """

    before: Upload
    after: Upload
    on_time: list[str]
    late: list[str]


@pytest.fixture(scope="module")
def versions(stack: Stack) -> Versions:
    old = videos(20, "Version one")
    new = [same if i % 2 else other for i, (same, other) in enumerate(zip(old, videos(20, "Version two"), strict=True))]
    with stack.held("ParserFunction"):
        before = stack.put("versions/list.jsonl", lines(old))
        stack.until(lambda: stack.waiting("WorkQueueUrl") == 20, "the old version is sent")
        messages = stack.take("WorkQueueUrl", 10)
    stack.until(lambda: stack.ended(before) == 10, "half of the old version is done")
    on_time = list(stack.rows(before))
    after = stack.put("versions/list.jsonl", lines(new))
    stack.until(lambda: stack.ended(after) == 20, "the new version is done")
    stack.let_go("WorkQueueUrl", messages)
    stack.until(lambda: stack.ended(before) == 20, "the rest of the old version is done")
    late = [video["id"] for video in old if video["id"] not in on_time]
    return Versions(before, after, on_time, late)


def test_the_late_rows_of_an_old_version_are_superseded(stack: Stack, versions: Versions) -> None:
    states = {video: row.state for video, row in stack.rows(versions.before).items()}
    assert {states[video] for video in versions.on_time} == {RowState.PARSED}
    assert {states[video] for video in versions.late} == {RowState.SUPERSEDED}


def test_no_pointer_moves_back_to_an_old_version(stack: Stack, versions: Versions) -> None:
    current = {video: stack.pointed_at("versions", video) for video in versions.on_time + versions.late}
    assert set(current.values()) == {versions.after.batch}
    assert stack.states(versions.after) == {RowState.PARSED: 20}


def test_two_versions_pay_once_for_each_title_that_they_share(
    stack: Stack, versions: Versions, provider: Witness
) -> None:
    asked = provider.asked("Version")
    assert stack.states(versions.after) == {RowState.PARSED: 20}
    assert set(asked.values()) == {1}
    assert (
        len(asked) == 25
    )  # ten of the old version, ten that the new one changed, five unchanged ones not asked about before


# ------------------------------------------------------------------------------------------------------------ waiting


def test_a_deferred_video_continues_at_the_providers_time_and_is_parsed(stack: Stack, provider: Witness) -> None:
    provider.fail("rate_limit")  # with Retry-After: 7
    upload = stack.put("put-off/list.jsonl", lines(videos(4, "Put off")))
    stack.until(lambda: stack.states(upload) == {RowState.DEFERRED: 1, RowState.PARSED: 3}, "one of four is put off")
    (waiting,) = (row for row in stack.rows(upload).values() if row.state is RowState.DEFERRED)
    stack.finished(upload)
    (title,) = (title for title, times in provider.asked("Put off").items() if times > 1)
    first, second = provider.asked_at(title)
    assert (waiting.reason or "").startswith("rate_limited")
    assert second - first >= 7 - CLOCK_STEP_SECONDS
    assert stack.states(upload) == {RowState.PARSED: 4}
    assert stack.attempts("put-off", waiting) == 1


def test_rows_beyond_a_batchs_limit_of_requests_are_deferred_with_the_reason(stack: Stack, provider: Witness) -> None:
    upload = stack.put("limited/list.jsonl", lines(videos(8, "Limited")), {"limit-requests": "3"})
    stack.until(lambda: stack.states(upload) == {RowState.DEFERRED: 5, RowState.PARSED: 3}, "five of eight wait")
    reasons = {(row.reason or "").partition(":")[0] for row in stack.rows(upload).values() if row.due}
    assert reasons == {"batch_limit"}
    assert stack.resume()["put back"] == 0
    assert sum(provider.asked("Limited").values()) == 3


# ------------------------------------------------------------------------------------------------------ lost messages


def test_exactly_the_rows_whose_messages_were_lost_are_sent_again(stack: Stack, provider: Witness) -> None:
    provider.fail(delay=5)
    upload = stack.put("lost/list.jsonl", lines(videos(60, "Lost")))
    stack.until(lambda: provider.asked("Lost"), "some videos are asked about")
    stack.lose("WorkQueueUrl")
    provider.fail()
    stack.until(lambda: stack.ended(upload) == provider.asked("Lost").total(), "what is asked about is done")

    def audited() -> tuple[int, int] | None:
        ended = stack.ended(upload)
        sent = stack.resume()["sent again"]  # only after a time without changes
        return (ended, sent) if sent else None

    ended, sent = stack.until(audited, "the batch is audited")
    stack.finished(upload)
    assert sent == 60 - ended
    assert stack.states(upload) == {RowState.PARSED: 60}
    assert list(provider.asked("Lost").values()) == [1] * 60


# ----------------------------------------------------------------------------------------------------- what comes out


def test_a_subscriber_receives_the_event_of_a_finished_batch_and_finds_its_talks(stack: Stack) -> None:
    heard = _listener(stack)
    content = lines(videos(5, "Listened"))
    upload = stack.put("listened/list.jsonl", content)
    stack.finished(upload)
    event = stack.until(lambda: next((it for it in heard() if it["batch"] == upload.batch), None), "the event is heard")
    assert (event["project"], event["counts"]["parsed"]) == ("listened", 5)
    assert _results(stack, event["results"]) == answers(content)


def test_a_persons_answer_survives_another_upload(stack: Stack) -> None:
    content = lines(videos(2, "Reviewed"))
    stack.finished(stack.put("reviewed/list.jsonl", content))
    reviews = Reviews(convert_values(stack.cloud.client("dynamodb")), stack.outputs["CatalogTable"])
    reviews.answer("reviewed", "v1", "By hand", ("Ada Byron",), by="a test", fingerprint="", now=datetime.now(UTC))
    again = stack.put("reviewed/list.jsonl", lines(videos(2, "Reviewed again")))
    stack.finished(again)
    place = {"bucket": again.bucket, "key": f"results/reviewed/{again.batch}.jsonl"}
    given = _results(stack, place)
    assert given["v1"] == ("By hand", ("Ada Byron",))
    assert "Reviewed again" in str(given["v2"])


# ------------------------------------------------------------------------------------------------------------- pieces


def _listener(stack: Stack) -> Callable[[], list[dict[str, Any]]]:
    """Add a rule to the event bus with a queue as its target; return a function that takes the received details."""
    sqs, events = stack.cloud.client("sqs"), stack.cloud.client("events")
    url = sqs.create_queue(QueueName="a-site")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    wanted = {"source": [SOURCE], "detail-type": [FINISHED]}
    events.put_rule(Name="a-site", EventPattern=json.dumps(wanted))
    events.put_targets(Rule="a-site", Targets=[{"Id": "queue", "Arn": arn}])

    def heard() -> list[dict[str, Any]]:
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"])["detail"] for message in messages]

    return heard


def _results(stack: Stack, place: Mapping[str, str]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return title and presenters of every line of a results file."""
    body = stack.cloud.client("s3").get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()
    talks = [json.loads(line) for line in body.splitlines()]
    return {talk["id"]: (talk["title"], tuple(talk["presenters"])) for talk in talks}


def _talks(stack: Stack, upload: Upload) -> dict[str, tuple[str, tuple[str, ...]] | None]:
    """Return title and presenters of every row of a batch."""
    return {video: (talk.title, talk.presenters) if talk else None for video, talk in stack.talks(upload).items()}
