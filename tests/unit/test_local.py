"""The local tier's answers to titles and descriptions in the forms that conferences use.

The examples are made up; `tests/evals` measures the tier's quality on real ones.
"""

from __future__ import annotations

import pytest

from titlecard.domain.video import Policy, Video
from titlecard.extraction import LocalParse, parse
from titlecard.extraction.survey import Survey
from titlecard.extraction.surveying import take_survey

TALKS = [
    ("Garbage Collection Without Tears", "Maria Garcia"),
    ("How to Break a Compiler", "John Smith"),
    ("Faster Builds with Less Hardware", "Anna Kowalska"),
    ("Testing in the Dark", "Peter Novak"),
    ("What Parsers Want", "Laura Rossi"),
    ("A Database in 300 Lines", "David Cohen"),
    ("Why Your Cache Lies", "Sofia Andersson"),
    ("Queues All the Way Down", "Rajesh Kumar"),
]
TITLE, NAME = "Deploying on a Friday", "Julia Fischer"


def parsed(title: str, description: str = "", batch: Survey | None = None) -> LocalParse:
    return parse(Video(id="1", title=title, description=description), batch or Survey())


def in_a_batch(template: str, description: str = "", name: str = NAME, title: str = TITLE) -> LocalParse:
    """Return the answer to one row in a batch of nine whose rows all follow a template."""
    rows = [*TALKS, (title, name)]
    videos = [
        Video(id=str(n), title=template.format(t=t, n=who, i=n), description=description.format(t=t, n=who))
        for n, (t, who) in enumerate(rows)
    ]
    return parse(videos[-1], take_survey(videos))


@pytest.mark.parametrize(
    "template",
    [
        "{t} - {n}",
        "{n} - {t}",
        "{n}. {t}",
        "{t} - by {n}",
        "DevConf 2031-{t} by {n}",
        "{t} | {n} | DevConf 2031",
        "DevConf 2031 - {n} - {t}",
        '"{t}" - {n} (DevConf 2031)',
        "{t} by {n}",
        "{t}, por {n}",
        "{t} ({n})",
        "{n}: {t}",
        "{t} - {n} @ DevConf 2031",
        "{t} / {n} [DevConf 12.05.2031]",
        "{t}｜{n}｜DevConf 2031",  # noqa: RUF001  # the full-width bar is the example
        "{n} «{t}»",
        "Talk: {t} - {n}",
        "{t} - {n}, Red Hat",
        "{t} - Dr. {n}",
    ],
)
def test_title_and_presenter_are_found_in_a_batch_with_the_template(template: str) -> None:
    answer = in_a_batch(template)
    assert (answer.title, answer.presenters, answer.source) == (TITLE, (NAME,), "title")


@pytest.mark.parametrize(
    "description",
    [
        "Speaker: {n}\n\nA talk about deploying.",
        "Presented by {n}\n\nA talk about deploying.",
        "{n}\n\nA talk about deploying.",
        "DevConf 2031 - {t} by {n}\n\nA talk about deploying.",
        "{n} | Friday 09:30 | Room 5\n\nA talk about deploying.",
    ],
)
def test_a_presenter_whom_only_the_description_names_is_found(description: str) -> None:
    answer = in_a_batch("{t}", description)
    assert (answer.title, answer.presenters, answer.source) == (TITLE, (NAME,), "description")


@pytest.mark.parametrize(
    "name",
    ["Zoë Ångström", "Денис Иванов", "Ludwig van der Berg", "J. Randall Hunt", "Jean-Pierre O'Neill", "田中 太郎"],
    ids=["diacritics", "Cyrillic", "particles", "initial", "hyphen and apostrophe", "Japanese"],
)
def test_names_of_many_shapes_are_kept_whole(name: str) -> None:
    assert in_a_batch("{t} - {n}", name=name).presenters == (name,)


@pytest.mark.parametrize("join", [", ", " & ", " and "])
def test_several_presenters_are_listed_one_by_one(join: str) -> None:
    assert in_a_batch("{t} - {n}", name=f"Julia Fischer{join}Omar Haddad").presenters == (
        "Julia Fischer",
        "Omar Haddad",
    )


def test_affiliations_in_brackets_do_not_stay_with_the_names() -> None:
    answer = in_a_batch("{t} - {n}", name="Julia Fischer (Google); Omar Haddad (Red Hat)")
    assert answer.presenters == ("Julia Fischer", "Omar Haddad")


def test_a_leading_code_is_dropped() -> None:
    assert in_a_batch("0{i}_40{i}_{t} - {n}").title == TITLE


@pytest.mark.parametrize("label", ["Keynote", "Lightning Talk"])
def test_the_labels_that_editors_keep_stay(label: str) -> None:
    assert parsed(f"{label}: {TITLE} - {NAME}").title == f"{label}: {TITLE}"


def test_a_keynote_without_a_title_is_called_keynote() -> None:
    videos = [Video(id=str(n), title=f"DevConf 2031 - {t} by {who}") for n, (t, who) in enumerate(TALKS)]
    answer = parsed(f"DevConf 2031 - Keynote: {NAME}", batch=take_survey(videos))
    assert (answer.title, answer.presenters) == ("Keynote", (NAME,))


def test_a_person_whom_the_title_is_about_is_no_presenter_if_by_names_one() -> None:
    videos = [Video(id=str(n), title=f"DevConf 2031 - {t} by {who}") for n, (t, who) in enumerate(TALKS)]
    answer = parsed(f"DevConf 2031 - Anna Karenina Learns to Code by {NAME}", batch=take_survey(videos))
    assert (answer.title, answer.presenters) == ("Anna Karenina Learns to Code", (NAME,))


@pytest.mark.parametrize("template", ["{t} by {n}", "{t} - {n}"])
def test_a_name_on_the_other_side_of_the_title_is_part_of_the_title(template: str) -> None:
    answer = in_a_batch(template, title="Auria Kathi - The Power of Many Models")
    assert (answer.title, answer.presenters) == ("Auria Kathi - The Power of Many Models", (NAME,))


def test_a_name_in_brackets_is_part_of_the_title_if_presenters_are_named_elsewhere() -> None:
    title = "Digging for Indiana Jones (My Role as Henry Jones)"
    answer = in_a_batch("{n} - {t}", title=title)
    assert (answer.title, answer.presenters) == (title, (NAME,))


def test_a_name_without_a_separator_is_part_of_the_title_if_presenters_are_named_elsewhere() -> None:
    answer = in_a_batch("{t} - {n}", title="Thomas Edison vs Three Teslas")
    assert (answer.title, answer.presenters) == ("Thomas Edison vs Three Teslas", (NAME,))


def test_presenters_divided_by_dashes_are_a_list() -> None:
    rows = [*TALKS[:7], (TITLE, "Julia Fischer - Omar Haddad")]
    videos = [Video(id=title, title=f"{title} - {names}") for title, names in rows]
    assert parse(videos[-1], take_survey(videos)).presenters == ("Julia Fischer", "Omar Haddad")


def test_the_label_that_editors_drop_is_dropped() -> None:
    assert parsed(f"Talk: {TITLE} - {NAME}").title == TITLE


@pytest.mark.parametrize("template", ["{t} (Keynote) - {n}", "{t} - Keynote", "DevConf 2031 - {t} (Keynote) by {n}"])
def test_a_keynote_label_after_the_title_is_dropped(template: str) -> None:
    assert in_a_batch(template).title == TITLE


@pytest.mark.parametrize("event", ["DevConf 2031: ", "Write the Code Springfield 2031 - "])
def test_a_leading_event_with_its_year_is_dropped_even_if_no_other_row_has_it(event: str) -> None:
    rows = [Video(id=str(n), title=f"{t} - {who}") for n, (t, who) in enumerate(TALKS)]
    odd = Video(id="odd", title=f"{event}{TITLE} - {NAME}")
    assert parse(odd, take_survey([*rows, odd])).title == TITLE


def test_an_event_with_its_year_is_dropped_without_a_separator_after_it_however_the_batch_spells_it() -> None:
    videos = [Video(id=str(n), title=f"Dev Conf 2031 - {t} by {who}") for n, (t, who) in enumerate(TALKS)]
    answer = parsed(f"DevConference 2031 {TITLE} by {NAME}", batch=take_survey(videos))
    assert (answer.title, answer.presenters) == (TITLE, (NAME,))


def test_handles_after_a_separator_are_not_part_of_the_title() -> None:
    assert parsed(f"{TITLE} / @ada and @tomas").title == TITLE


def test_a_year_that_belongs_to_the_title_stays() -> None:
    assert parsed("Deploying in 2031 - Julia Fischer").title == "Deploying in 2031"


@pytest.mark.parametrize("nobody", ["Various Speakers", "Multiple Presenters", "TBA"])
def test_a_placeholder_is_no_presenter_in_a_title(nobody: str) -> None:
    assert nobody not in in_a_batch("{t} - {n}", name=nobody).presenters


def test_speakers_are_found_if_the_title_says_various_speakers() -> None:
    text = "Lightning Talks by Various Speakers\n\n00:00 Julia Fischer\n05:42 Omar Haddad\n10:53 Anna Kowalska"
    answer = parsed("Lightning Talks by Various Speakers", text)
    assert answer.presenters == ("Julia Fischer", "Omar Haddad", "Anna Kowalska")


def test_a_person_whom_the_description_quotes_is_no_presenter() -> None:
    text = "Speaker: {n}\n\nWe deploy every day. The habit was named by Charles Dickens, author of many books."
    assert in_a_batch("{t}", text).presenters == (NAME,)


def test_the_last_item_of_a_list_in_a_title_is_not_a_presenter() -> None:
    answer = parsed("Learning from Meetups in Zimbabwe, Indonesia, and South Korea")
    assert (answer.title, answer.presenters) == ("Learning from Meetups in Zimbabwe, Indonesia, and South Korea", ())


def test_a_person_in_a_list_of_topics_is_no_presenter() -> None:
    text = "How to be wrong in public.\n\nKeywords: habits, Charles Dickens, reviews"
    assert parsed(TITLE, text).presenters == ()


@pytest.mark.parametrize("role", ["Executive Director", "Bright Ventures LLC"])
def test_a_role_or_a_company_after_a_name_is_no_presenter(role: str) -> None:
    assert in_a_batch("{t} - {n}", name=f"{NAME}, {role}").presenters == (NAME,)


def test_an_academic_title_is_no_part_of_a_name() -> None:
    assert parsed(f"{TITLE} - Prof. Dr. {NAME}").presenters == (NAME,)


def test_short_forms_are_written_out_from_the_description() -> None:
    answer = parsed("J. Fischer, O. Haddad - Deploying on a Friday", "By Julia Fischer, Omar Haddad")
    assert answer.presenters == ("Julia Fischer", "Omar Haddad")


def test_a_title_that_names_nobody_has_no_presenter() -> None:
    answer = parsed("Deploying on a Friday")
    assert (answer.title, answer.presenters, answer.source) == ("Deploying on a Friday", (), "nobody")


def test_brackets_that_belong_to_the_title_are_closed() -> None:
    assert parsed("Deploying (on a Friday)").title == "Deploying (on a Friday)"


def test_an_answer_with_consistent_evidence_is_sure() -> None:
    assert in_a_batch('"{t}" - {n} (DevConf 2031)').sure


def test_a_batch_without_a_template_lowers_the_confidence() -> None:
    alone, together = parsed(f"{TITLE} - {NAME}"), in_a_batch("{t} - {n}")
    assert alone.confidence < together.confidence


def test_the_same_video_gets_the_same_answer() -> None:
    assert in_a_batch("{t} - {n}") == in_a_batch("{t} - {n}")


# -------------------------------------------------------------------------------------------------- given presenters


def given(title: str, *presenters: str, description: str = "") -> LocalParse:
    return parse(Video(id="1", title=title, description=description, presenters=presenters), Survey())


def test_the_presenters_that_a_row_gives_are_the_answers() -> None:
    answer = given(TITLE, NAME, "Omar Haddad")
    assert (answer.title, answer.presenters, answer.source, answer.sure) == (
        TITLE,
        (NAME, "Omar Haddad"),
        "given",
        True,
    )


def test_a_given_presenter_is_taken_out_of_the_title() -> None:
    answer = given(f"{TITLE} - Xqz Vbw", "Xqz Vbw")
    assert (answer.title, answer.presenters, answer.others) == (TITLE, ("Xqz Vbw",), ())


@pytest.mark.parametrize("template", ["Xqz Vbw - {} by Peter Novak", "Peter Novak - {} - Xqz Vbw"])
def test_a_given_presenter_is_taken_out_of_a_title_that_names_others_elsewhere(template: str) -> None:
    answer = given(template.format(TITLE), "Xqz Vbw")
    assert (answer.title, answer.presenters, answer.others) == (TITLE, ("Xqz Vbw",), ("Peter Novak",))


def test_a_short_form_in_the_title_is_no_disagreement() -> None:
    assert given(f"{TITLE} - J. Fischer", NAME).others == ()


def test_other_people_whom_the_title_names_are_reported() -> None:
    assert given(f"{TITLE} by Peter Novak", NAME).others == ("Peter Novak",)


@pytest.mark.parametrize("policy", list(Policy))
def test_no_model_is_asked_about_a_row_that_gives_its_presenters(policy: Policy) -> None:
    assert given(TITLE, NAME).is_final(policy)


def test_a_local_answer_is_final_if_it_is_sure_or_no_model_is_asked() -> None:
    sure = LocalParse("T", (), 0.9, sure=True, source="nobody")
    unsure = sure._replace(sure=False)
    assert [it.is_final(policy) for policy in Policy for it in (sure, unsure)] == [
        True,
        False,
        True,
        True,
        False,
        False,
    ]


def test_no_answer_without_presenters_is_sure_if_one_person_may_give_the_whole_batch() -> None:
    videos = [Video(id=str(n), title=f"Grace Hopper - {t}") for n, (t, _) in enumerate(TALKS)]
    answers = [parse(video, take_survey(videos)) for video in videos]
    assert not any(answer.sure and not answer.presenters for answer in answers)


def test_a_title_that_is_nothing_but_a_name_is_never_sure() -> None:
    videos = [Video(id=str(n), title=f"{who} | {t} | DevConf 2031") for n, (t, who) in enumerate(TALKS)]
    alone = Video(id="alone", title=f"{NAME} | DevConf 2031")
    answer = parse(alone, take_survey([*videos, alone]))
    assert (answer.title, answer.sure) == (NAME, False)


@pytest.mark.parametrize(
    "title",
    [
        *("[] is not {}", "{{ templates }} in 2023", "@property and friends", "C++ and C#: a love story"),
        *("rm -rf /", "rm -rf / and other stories", "[[nodiscard]]", "(defn foo [])", "SELECT * FROM talks;"),
    ],
)
def test_code_in_a_title_stays_whole(title: str) -> None:
    others = [f"Tomas Ferreyra - Talk {letter} - DemoConf 2022" for letter in "abc"]
    rows = [f"Ada Brightwater - {title} - DemoConf 2022", *others]
    videos = [Video(id=str(number), title=row) for number, row in enumerate(rows)]
    assert parse(videos[0], take_survey(videos)).title == title


@pytest.mark.parametrize(
    ("title", "presenters"),
    [
        ("Live Podcast (feat. Ada Brightwater) | DemoConf 2023", ("Ada Brightwater",)),
        ("Live Podcast ft. Ada Brightwater - DemoConf 2023", ("Ada Brightwater",)),
        ("Ines Lindqvist: Live Podcast (ft. Rosa Novak)", ("Ines Lindqvist", "Rosa Novak")),
        ("Live Podcast - Ada Brightwater (feat. Tomas Ferreyra)", ("Ada Brightwater", "Tomas Ferreyra")),
        (
            "Ada Brightwater: Live Podcast (featuring Tomas Ferreyra, Ines Valderrama & Rosa Lindqvist)",
            ("Ada Brightwater", "Tomas Ferreyra", "Ines Valderrama", "Rosa Lindqvist"),
        ),
    ],
)
def test_the_guests_of_a_talk_are_presenters_too(title: str, presenters: tuple[str, ...]) -> None:
    assert (parsed(title).title, parsed(title).presenters) == ("Live Podcast", presenters)


def test_a_technology_is_not_a_guest() -> None:
    assert parsed("Jan Novak: Django ft. Celery").presenters == ("Jan Novak",)


@pytest.mark.parametrize(
    "moderator", [" (moderator: Ada Brightwater)", " | Moderated by Ada Brightwater", ", hosted by Ada Brightwater"]
)
def test_a_moderator_is_no_presenter_beside_others(moderator: str) -> None:
    answer = parsed(f"The future of queues - Tomas Ferreyra, Ines Valderrama{moderator}")
    assert (answer.title, answer.presenters) == ("The future of queues", ("Tomas Ferreyra", "Ines Valderrama"))
