"""What a survey learns from a batch, and the limit of its size."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titlecard.domain.video import Video
from titlecard.extraction.survey import LARGEST, Survey
from titlecard.extraction.surveying import SAMPLE, take_survey

TALKS = ["Compilers", "Garbage Collection", "Type Systems", "Linkers", "Parsers", "Schedulers"]
NAMES = ["Grace Hopper", "John Smith", "Maria Garcia", "Anna Kowalska", "Peter Novak", "Laura Rossi"]


def batch(template: str, description: str = "") -> list[Video]:
    rows = enumerate(zip(TALKS, NAMES, strict=True))
    return [
        Video(id=str(n), title=template.format(t=t, n=who), description=description.format(n=who))
        for n, (t, who) in rows
    ]


def test_the_same_rows_make_the_same_survey() -> None:
    assert take_survey(batch("DevConf: {t} - {n}")) == take_survey(batch("DevConf: {t} - {n}"))


def test_a_beginning_of_all_titles_is_learnt() -> None:
    assert take_survey(batch("DevConf 2031 {t} - {n}")).heads == {"devconf 0000": len(TALKS)}


def test_an_ending_of_all_titles_is_learnt() -> None:
    assert "at devconf" in take_survey(batch("{t} at DevConf")).tails


def test_a_surname_that_two_presenters_share_is_no_part_of_the_ending() -> None:
    names = ["Ada Byron", "Tomas Byron", *NAMES, "Omar Haddad", "Lea Meyer", "Jan Kowal", "Ines Prado"]
    videos = [Video(id=str(n), title=f"Talk {n} - {name} - DevConf 2031") for n, name in enumerate(names)]
    assert take_survey(videos).tails == {"devconf 0000": len(names)}


def test_a_phrase_in_the_middle_of_titles_is_learnt() -> None:
    videos = [Video(id=str(n), title=f"{t} | DevConf 2031 Talk {n}") for n, t in enumerate(TALKS)]
    assert "devconf 0000 talk 0" in take_survey(videos).phrases


def test_the_subject_of_the_batch_is_learnt() -> None:
    assert take_survey(batch("{t} in Ruby - {n}")).common["ruby"] == len(TALKS)


def test_the_layout_of_the_titles_is_described_in_words() -> None:
    assert take_survey(batch("DevConf 2031 - {t} - {n}")).hint().startswith("event - title - name (")


def test_a_survey_of_an_older_version_is_still_read() -> None:
    old: dict[str, dict[str, int]] = {key: {} for key in ("heads", "tails", "recurring", "people", "slots", "spots")}
    assert Survey.from_json(json.dumps({"rows": 3, "described": 0, **old})) == Survey(rows=3)


def test_a_piece_that_recurs_is_counted_with_its_numbers_made_alike() -> None:
    videos = [Video(id=str(n), title=f"{t} | Meetup {n}") for n, t in enumerate(TALKS)]
    assert take_survey(videos).recurring == {"meetup 0": len(TALKS)}


def test_the_place_of_the_names_is_learnt() -> None:
    count, names = take_survey(batch("{t} | {n}")).slots["last|pipe|"]
    assert (count, names > 0.7 * count) == (len(TALKS), True)


def test_the_cue_of_the_descriptions_is_learnt() -> None:
    count, names = take_survey(batch("{t}", "Speaker: {n}\n\nAll about it.")).spots["c:speaker:"]
    assert (count, names > 0.7 * count) == (len(TALKS), True)


def test_a_person_whom_every_description_names_is_learnt() -> None:
    assert take_survey(batch("{t}", "Filmed by Peter Novak")).people["peter novak"] == len(TALKS)


def test_a_survey_of_no_rows_is_empty() -> None:
    assert take_survey([]) == Survey()


def test_a_survey_of_one_row_knows_no_template() -> None:
    survey = take_survey([Video(id="1", title="DevConf: Compilers - Grace Hopper")])
    assert (survey.rows, survey.recurring, survey.slots) == (1, {}, {})


def test_no_more_rows_are_read_than_the_sample_has() -> None:
    endless = (Video(id=str(n), title=f"Talk {n}") for n in range(10**9))
    assert take_survey(endless).rows == SAMPLE


@pytest.mark.parametrize("letter", ["a", "語", "🎉"])
def test_the_json_stays_small_whatever_the_batch_holds(letter: str) -> None:
    texts = [" | ".join(f"{letter * 58}{chr(0x4E00 + n)}" for n in range(0, 120, 1 + n % 3)) for n in range(60)]
    videos = [Video(id=str(n), title=text[:400], description=text) for n, text in enumerate(texts)]
    assert len(take_survey(videos).to_json().encode()) <= LARGEST


@given(st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=8))
def test_a_survey_survives_a_round_trip_through_json(rows: list[tuple[str, str]]) -> None:
    videos = [Video(id=str(n), title=f"T{title}", description=text) for n, (title, text) in enumerate(rows)]
    survey = take_survey(videos)
    assert Survey.from_json(survey.to_json()) == survey


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": []}', "null"])
def test_text_that_is_not_a_survey_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"survey|Expecting"):
        Survey.from_json(text)
