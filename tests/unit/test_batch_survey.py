"""The surveys of a batch: of each event that rows name, and of each stretch of rows with one template."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titlecard.domain.video import Video
from titlecard.extraction import parse, surveying
from titlecard.extraction.stretches import stretches
from titlecard.extraction.survey import BatchSurvey, Survey, group_of
from titlecard.extraction.surveying import SAMPLE, survey_batch

TALKS = ["Compilers", "Garbage Collection", "Type Systems", "Linkers", "Parsers", "Schedulers", "Profilers"]
NAMES = ["Grace Hopper", "John Smith", "Maria Garcia", "Anna Kowalska", "Peter Novak", "Laura Rossi", "Omar Haddad"]
ALPHA = "AlphaConf 2031 - {n}: {t}"
BETA = "{t} by {n} | Beta Days #7"
GAMMA = "[Gamma Summit] {t} ({n})"


def conference(template: str, size: int, event: str | None = None) -> list[Video]:
    parts = [(f"{TALKS[n % 7]} {string.ascii_uppercase[n // 7 % 26]}", NAMES[n * 3 % 7]) for n in range(size)]
    titles = [template.format(t=talk, n=name) for talk, name in parts]
    return [Video(id=f"{template} {n}", title=title, event=event) for n, title in enumerate(titles)]


def named(event: str | None = None) -> Video:
    return Video(id="v", title="Compilers", event=event)


def rows_of(*conferences: list[Video]) -> list[tuple[int, Video]]:
    return list(enumerate((video for videos in conferences for video in videos), 1))


def shuffled(rows: list[tuple[int, Video]]) -> list[tuple[int, Video]]:
    videos = [video for _, video in rows]
    return list(enumerate(videos[::2] + videos[1::2], 1))


def test_consecutive_conferences_are_separate_stretches() -> None:
    videos = conference(ALPHA, 40) + conference(BETA, 24) + conference(GAMMA, 32)
    assert stretches(videos) == [range(40), range(40, 64), range(64, 96)]


@pytest.mark.parametrize("size", [1, 7, 13, 30, 150])
def test_one_conference_is_one_stretch(size: int) -> None:
    assert stretches(conference(ALPHA, size)) == [range(size)]


def test_descriptions_separate_conferences_whose_titles_are_alike() -> None:
    described = [
        Video(id=f"{place} {n}", title=TALKS[n % 7], description=f"Talk {n} of {place}.\n\nFilmed by {place}.")
        for place in ("Alpha", "Beta")
        for n in range(24)
    ]
    assert stretches(described) == [range(24), range(24, 48)]


def test_no_videos_have_no_stretches() -> None:
    assert stretches([]) == []


@given(st.lists(st.sampled_from([ALPHA, BETA, GAMMA, "{t}", "{n}"]), max_size=60))
def test_stretches_cover_every_row_once(templates: list[str]) -> None:
    videos = [Video(id=str(n), title=it.format(t=TALKS[n % 7], n=NAMES[n % 7])) for n, it in enumerate(templates)]
    assert [row for found in stretches(videos) for row in found] == list(range(len(videos)))


def test_a_batch_of_one_conference_has_one_survey() -> None:
    surveys = survey_batch(rows_of(conference(ALPHA, 40)))
    assert surveys.parts == {}
    assert surveys.of(17, named()) is surveys.whole
    assert surveys.whole.rows == 40


def test_each_row_of_an_archive_has_the_survey_of_its_conference() -> None:
    surveys = survey_batch(rows_of(conference(ALPHA, 40), conference(BETA, 24)))
    assert [surveys.of(row, named()).rows for row in (1, 40, 41, 64)] == [40, 40, 24, 24]
    assert surveys.of(1, named()).heads["alphaconf 0000"] == 40
    assert surveys.of(64, named()).phrases["beta days 0"] == 24
    assert surveys.whole.rows == 64


def test_a_row_that_is_not_in_the_sample_belongs_to_the_stretch_around_it() -> None:
    surveys = survey_batch(rows_of(conference(ALPHA, 60), conference(BETA, 60))[1::3])
    alpha, beta = surveys.of(2, named()), surveys.of(119, named())
    assert alpha != beta
    assert [surveys.of(row, named()) for row in (1, 59, 120, 1_000)] == [alpha, alpha, beta, beta]


def test_rows_that_name_their_events_are_surveyed_by_event_in_any_order() -> None:
    rows = shuffled(rows_of(conference(ALPHA, 40, "AlphaConf 2031"), conference(BETA, 24, "Beta Days")))
    surveys = survey_batch(rows)
    sizes = {video.event: surveys.of(row, video).rows for row, video in rows}
    assert sizes == {"AlphaConf 2031": 40, "Beta Days": 24}


def test_an_event_may_be_written_in_several_ways() -> None:
    alpha = conference(ALPHA, 10, "Café Conf"), conference(ALPHA, 8, "CAFE  conf")
    assert (
        survey_batch(shuffled(rows_of(*alpha, conference(BETA, 9, "B")))).of(1, named(" cafe\u0301 conf ")).rows == 18
    )


def test_events_of_a_few_rows_are_surveyed_together() -> None:
    few = [Video(id=str(n), title=f"Part {n} | Meetup", event=f"Evening {n}") for n in range(20)]
    surveys = survey_batch(rows_of(conference(ALPHA, 30, "AlphaConf"), few))
    assert (surveys.of(31, named("Evening 0")).rows, surveys.of(50, named("an evening to come")).rows) == (20, 20)
    assert surveys.of(1, named("AlphaConf")).rows == 30


def test_a_playlist_of_everything_is_divided_as_a_file_without_events() -> None:
    uploads = "Channel - Videos"
    surveys = survey_batch(rows_of(conference(ALPHA, 40, uploads), conference(BETA, 24, uploads)))
    assert [surveys.of(row, named(uploads)).rows for row in (1, 41)] == [40, 24]


@pytest.mark.parametrize("rows", [SAMPLE, SAMPLE + 1, 3 * SAMPLE])
def test_the_survey_of_a_long_batch_is_taken_from_all_of_it(rows: int) -> None:
    halves = conference("{t}", rows // 2), conference("{t} | Second Half", rows - rows // 2)
    whole = survey_batch(rows_of(*halves)).whole
    assert SAMPLE // 2 <= whole.rows <= SAMPLE
    assert abs(whole.recurring["second half"] / whole.rows - 0.5) < 0.02


def test_a_row_of_an_archive_is_parsed_as_in_an_upload_of_its_conference() -> None:
    alone, others = conference(GAMMA, 30), (conference(ALPHA, 60), conference(BETA, 60), conference("{t}", 60))
    by_itself, in_archive = survey_batch(rows_of(alone)), survey_batch(rows_of(*others, alone))
    for place, video in enumerate(alone, 1):
        answer, expected = parse(video, in_archive.of(180 + place, video)), parse(video, by_itself.of(place, video))
        assert (answer.title, answer.presenters, answer.sure) == (expected.title, expected.presenters, True)
        assert "gamma" not in answer.title.casefold()


@pytest.mark.parametrize("shapes", [(), (ALPHA,), (ALPHA, BETA, GAMMA)])
def test_stored_surveys_are_read_as_they_were(shapes: tuple[str, ...]) -> None:
    surveys = survey_batch(rows_of(*(conference(shape, 30, shape[:5]) for shape in shapes)))
    assert len(surveys.parts) == (3 if len(shapes) > 1 else 0)
    assert BatchSurvey.from_stored(surveys.whole.to_json(), surveys.parts_to_bytes()) == surveys


def test_a_survey_stored_without_parts_is_read() -> None:
    assert BatchSurvey.from_stored(Survey(rows=3).to_json(), b"") == BatchSurvey(Survey(rows=3))


@pytest.mark.parametrize("parts", [b"[]", b"\x1f\x8b", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\xff\xff\xff"])
def test_stored_parts_that_are_not_surveys_are_refused(parts: bytes) -> None:
    with pytest.raises(ValueError, match="not surveys"):
        BatchSurvey.from_stored(Survey().to_json(), parts)


def test_the_surveys_of_many_events_fit_into_an_item(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveying, "MOST_PARTS_BYTES", 1_000)
    letters = string.ascii_uppercase
    events = [conference(f"Event {it} - {{t}} - {{n}}", 6 + n % 5, f"Event {it}") for n, it in enumerate(letters)]
    surveys = survey_batch(rows_of(*events))
    assert 0 < len(surveys.parts_to_bytes()) <= 1_000
    sizes = {sum(survey.rows for _, survey in found) for found in surveys.parts.values()}
    assert sizes <= {8, 9, 10}  # the largest events keep theirs


def test_rows_without_events_are_surveyed_by_channel() -> None:
    rows = rows_of(conference(ALPHA, 40), conference(BETA, 24))
    by_channel = [it.model_copy(update={"channel": "Alpha" if "Alpha" in it.title else "Beta TV"}) for _, it in rows]
    mixed = list(enumerate(by_channel[::2] + by_channel[1::2], 1))
    surveys = survey_batch(mixed)
    assert {video.channel: surveys.of(row, video).rows for row, video in mixed} == {"Alpha": 40, "Beta TV": 24}


def test_a_row_without_an_event_and_a_channel_has_no_group() -> None:
    assert [group_of(named(event)) for event in (None, "", " \u200b ")] == ["", "", ""]
