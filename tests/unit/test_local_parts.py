"""The cutting of titles, the search of descriptions, and the distinction of names from words."""

from __future__ import annotations

import pytest

from titlecard.domain.video import Video
from titlecard.extraction import cues
from titlecard.extraction.crf import Decoded
from titlecard.extraction.mentions import lines, mentions
from titlecard.extraction.model import shipped
from titlecard.extraction.people import clean, written_out
from titlecard.extraction.segments import segments
from titlecard.extraction.survey import Survey
from titlecard.extraction.surveying import take_survey
from titlecard.extraction.titles import DROP, NAME, TITLE, TitleView, by_convention

LEXICON = shipped().lexicon


def pieces(
    title: str,
    heads: dict[str, int] | None = None,
    tails: dict[str, int] | None = None,
    whole: dict[str, int] | None = None,
    phrases: dict[str, int] | None = None,
) -> list[str]:
    survey = Survey(rows=9, heads=heads or {}, tails=tails or {}, recurring=whole or {}, phrases=phrases or {})
    return [part.text for part in segments(title, LEXICON, survey)]


def named(line: str) -> list[str]:
    return [mention.text for mention in mentions(line, 0, LEXICON)]


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("DevConf - A Talk - Julia Fischer", ["DevConf", "A Talk", "Julia Fischer"]),
        ('"A Talk" - Julia Fischer (DevConf)', ["A Talk", "Julia Fischer", "DevConf"]),
        ("A Talk, por Julia Fischer", ["A Talk", "Julia Fischer"]),
        ("Julia Fischer  A Talk", ["Julia Fischer", "A Talk"]),
        ("A Talk｜Julia Fischer", ["A Talk", "Julia Fischer"]),  # noqa: RUF001
        ("Anna Kowalska & Peter Novak", ["Anna Kowalska", "Peter Novak"]),
        ("Julia Fischer Deploying everything on a Friday", ["Julia Fischer", "Deploying everything on a Friday"]),
        ("well-known e-mail C++ and .NET", ["well-known e-mail C++", ".NET"]),
    ],
)
def test_a_title_is_cut_at_whatever_can_separate(title: str, expected: list[str]) -> None:
    assert pieces(title) == expected


def test_a_by_without_a_name_after_a_quote_is_cut_from_the_title() -> None:
    assert pieces('"A Talk" by') == ["A Talk"]


def test_a_piece_that_many_titles_begin_or_end_with_is_cut_off() -> None:
    assert pieces("DevConf Deploying PYAR", {"devconf": 9}, {"pyar": 9}) == ["DevConf", "Deploying", "PYAR"]


@pytest.mark.parametrize(("times", "expected"), [(8, ["Web", "Python PYAR"]), (2, ["Web", "Python", "PYAR"])])
def test_a_piece_that_recurs_is_cut_only_if_its_ending_is_far_more_frequent(times: int, expected: list[str]) -> None:
    assert pieces("Web con Python PYAR", tails={"pyar": 9}, whole={"python pyar": times}) == expected


def test_an_event_is_cut_off_however_it_is_spaced() -> None:
    assert pieces("Dev Conf 2031 Deploying", {"devconf 0000": 9}) == ["Dev Conf 2031", "Deploying"]


def test_a_phrase_of_the_batch_is_cut_out_of_the_middle() -> None:
    phrases = {"devconf 0000": 6}
    assert pieces("Deploying | DevConf 2031 Tutorial | Julia Fischer", phrases=phrases) == [
        "Deploying",
        "DevConf 2031",
        "Tutorial",
        "Julia Fischer",
    ]


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Julia Fischer. Deploying. DevConf", ["Julia Fischer", "Deploying", "DevConf"]),
        ("Deploying / Julia Fischer @jfischer", ["Deploying", "Julia Fischer", "jfischer"]),
        ("Deploying - Julia  Fischer", ["Deploying", "Julia  Fischer"]),
        ('Deploying - Peter "Ace" Novak', ["Deploying", 'Peter "Ace" Novak']),
        ("Deploying.mp4", ["Deploying"]),
        ("D12. Julia Fischer - Deploying", ["D12.", "Julia Fischer", "Deploying"]),
        ("Panel moderated by Julia Fischer", ["Panel", "Julia Fischer"]),
        ("A Rails Guide", ["A Rails Guide"]),
        ("Rocky Mountain 2031", ["Rocky Mountain 2031"]),
    ],
)
def test_separators_are_distinguished_from_parts_of_names(title: str, expected: list[str]) -> None:
    assert pieces(title) == expected


def test_a_nickname_in_brackets_stays_inside_its_name() -> None:
    assert pieces("Compilers - Augusta (Ada) Byron") == ["Compilers", "Augusta (Ada) Byron"]


def test_pieces_have_their_positions() -> None:
    title = "  A Talk | Julia Fischer"
    assert [title[part.start : part.end] for part in segments(title, LEXICON)] == pieces(title)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Speaker: Julia Fischer", ["Julia Fischer"]),
        ("Presented By Julia Fischer and Omar Haddad", ["Julia Fischer", "Omar Haddad"]),
        ("Julia Fischer Bio", ["Julia Fischer"]),
        ("John Love | Friday 09:30", ["John Love"]),
        ("講者：王小明", ["王小明"]),  # noqa: RUF001
        ("the lower case has no names", []),
    ],
)
def test_possible_names_are_runs_of_capitalised_words_without_cues(line: str, expected: list[str]) -> None:
    assert [text for text in named(line) if text in expected or not expected] == expected


def test_lines_carry_no_addresses_and_no_tags() -> None:
    assert lines("<b>Julia</b> https://example.org\n\n  text") == ["Julia", "text"]


@pytest.mark.parametrize("name", ["Maria Garcia", "Денис Иванов", "Rajesh Kumar", "王小明", "홍길동"])
def test_a_name_looks_more_like_a_name_than_a_topic_does(name: str) -> None:
    assert LEXICON.nameness(name).chance > 0.5 > LEXICON.nameness("Machine Learning").chance


def test_a_korean_phrase_is_no_name() -> None:
    assert LEXICON.nameness("개발 후기").chance < 0.1


def test_letters_that_look_like_an_academic_title_stay_inside_a_name() -> None:
    assert clean(["Lacey Williams Henschel"]) == ("Lacey Williams Henschel",)


def test_academic_titles_and_duplicates_are_removed() -> None:
    assert clean(["Dr. Julia Fischer", "Omar Haddad, PhD", "julia fischer", "Omar"]) == ("Julia Fischer", "Omar Haddad")


@pytest.mark.parametrize("text", ["Presented by ", "Speaker: ", "Una charla de ", "講者："])  # noqa: RUF001
def test_words_that_lead_to_a_presenter_are_cues(text: str) -> None:
    assert cues.before(text) == cues.PRESENTS


@pytest.mark.parametrize("text", ["Special thanks to ", "The library was created by ", "In 2006, ", "Edited by "])
def test_words_before_non_presenters_are_negative_cues(text: str) -> None:
    assert cues.before(text) == cues.SPOKEN_OF


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" will show how", cues.PRESENTS),
        (" explains what", cues.PRESENTS),
        (" said that", cues.SPOKEN_OF),
        (" in the 1930's", cues.SPOKEN_OF),
        ("'s framework", cues.SPOKEN_OF),
        (" and others", cues.NOTHING),
    ],
)
def test_words_after_a_name_say_what_the_person_does(text: str, expected: str) -> None:
    assert cues.after(text) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("Keywords: decorators, ", ", closures", True),
        ("We look at decorators (", ", etc.)", True),
        ("Speakers: ", ", Omar Haddad", False),
        ("Nice topics: talks by ", "", False),
    ],
)
def test_names_in_lists_of_topics_or_examples_are_recognised(before: str, after: str, expected: bool) -> None:
    assert cues.of_examples(before, after) is expected


@pytest.mark.parametrize(("text", "expected"), [(" Research Center", True), (" is a researcher", False)])
def test_a_name_that_continues_as_an_institute_is_no_person(text: str, expected: bool) -> None:
    assert cues.of_a_company(text) is expected


def test_a_short_form_that_fits_two_people_stays_as_it_is() -> None:
    assert written_out(["J. Fischer"], ["Julia Fischer", "Jonas Fischer"]) == ["J. Fischer"]


@pytest.mark.parametrize(("chance", "expected"), [(0.4, [TITLE, TITLE]), (0.05, [DROP, TITLE])])
def test_a_doubtful_piece_that_no_other_row_has_is_part_of_the_title(chance: float, expected: list[str]) -> None:
    batch = [Video(id=str(n), title=f"{word}: how it works") for n, word in enumerate(("Queues", "Caches", *"ABCDEF"))]
    view = TitleView("Sauron: home security for everybody", [], take_survey(batch), shipped().lexicon)
    decoded = Decoded([DROP, TITLE], [[0.95 - chance, chance, 0.05], [0.01, 0.98, 0.01]], 0.5)
    assert by_convention(view, decoded, (DROP, TITLE, NAME)) == expected


@pytest.mark.parametrize(
    ("title", "chance", "expected"),
    [
        ("Compilers | Ada Byron", 0.7, [TITLE, NAME]),
        ("Compilers | Ada Byron", 0.55, [TITLE, DROP]),
        ("Compilers | Opening Announcements", 0.9, [TITLE, TITLE]),
    ],
)
def test_a_name_is_likely_and_no_session(title: str, chance: float, expected: list[str]) -> None:
    view = TitleView(title, [], Survey(rows=1), shipped().lexicon)
    decoded = Decoded([TITLE, NAME], [[0.01, 0.98, 0.01], [0.99 - chance, 0.01, chance]], 0.5)
    assert by_convention(view, decoded, (DROP, TITLE, NAME)) == expected
