"""A video, and the fields that make two videos the same request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from titlecard.domain import video
from titlecard.domain.video import Talk, Video, fingerprint

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
TITLE = TEXT.filter(str.strip)


def mark(title: str = "A Talk", description: str = "", model: str | None = "gpt", prompt: str = "1") -> str:
    return fingerprint(Video(id="1", title=title, description=description), model=model, prompt_version=prompt)


@pytest.mark.parametrize("field", ["id", "title"])
@pytest.mark.parametrize("value", ["", "  ", "\n"])
def test_a_video_without_id_or_title_is_refused(field: str, value: str) -> None:
    with pytest.raises(ValidationError, match=field):
        Video.model_validate({"id": "1", "title": "A Talk", field: value})


def test_white_space_around_a_title_is_removed() -> None:
    assert Video(id=" 1 ", title=" A Talk\n") == Video(id="1", title="A Talk")


def test_a_video_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="duration"):
        Video.model_validate({"id": "1", "title": "A Talk", "duration": 5})


def test_presenters_are_kept_in_order_each_once() -> None:
    names = (" Ada  Byron ", "Omar Haddad", "ada byron", "")
    assert Video(id="1", title="A Talk", presenters=names).presenters == ("Ada Byron", "Omar Haddad")


@pytest.mark.parametrize(
    "name", ["TBA", "tbd.", "Various", "Various Speakers", "N/A", "To be announced", "-", "Varios"]
)
def test_a_placeholder_is_not_a_presenter(name: str) -> None:
    assert Video(id="1", title="A Talk", presenters=(name, "Ada Byron")).presenters == ("Ada Byron",)


def test_different_presenters_change_the_fingerprint() -> None:
    videos = [Video(id="1", title="A Talk", presenters=names) for names in ((), ("Ada Byron",), ("Ada", "Byron"))]
    assert len({fingerprint(video, model=None, prompt_version="1") for video in videos}) == 3


def test_a_video_is_immutable() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Video(id="1", title="A Talk").title = "Another"  # type: ignore[misc]  # the test's claim


@pytest.mark.parametrize("confidence", [-0.1, 1.1])
def test_a_confidence_is_a_probability(confidence: float) -> None:
    with pytest.raises(ValidationError, match="confidence"):
        Talk(title="A Talk", confidence=confidence)


def test_a_fingerprint_is_32_hexadecimal_digits() -> None:
    assert len(mark()) == 32
    int(mark(), 16)


def test_the_same_request_has_the_same_fingerprint() -> None:
    assert mark() == mark()


def test_fields_that_no_tier_reads_do_not_change_the_fingerprint() -> None:
    plain = Video(id="1", title="A Talk")
    rich = Video(id="2", title="A Talk", url="https://example.org", channel="PyCon", published_at="2019-01-01")
    assert fingerprint(plain, model=None, prompt_version="1") == fingerprint(rich, model=None, prompt_version="1")


@pytest.mark.parametrize(
    "other",
    [
        mark(title="Another Talk"),
        mark(description="by Grace Hopper"),
        mark(model="gpt-2"),
        mark(model=None),
        mark(prompt="2"),
    ],
)
def test_each_input_of_an_answer_changes_the_fingerprint(other: str) -> None:
    assert other != mark()


def test_another_parser_version_changes_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = mark()
    monkeypatch.setattr(video, "PARSER_VERSION", "another")
    assert mark() != before


def test_the_prompt_does_not_count_without_a_model() -> None:
    assert mark(model=None, prompt="1") == mark(model=None, prompt="2")


@given(TITLE, TEXT, TITLE, TEXT)
def test_parts_of_a_fingerprint_stay_separate(
    title: str, description: str, other_title: str, other_description: str
) -> None:
    same = (title.strip(), description) == (other_title.strip(), other_description)
    assert (mark(title, description) == mark(other_title, other_description)) is same
