"""The library in a site's own process: `titlecard.parse`."""

from __future__ import annotations

import doctest
import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

import titlecard
from titlecard.domain.video import Tier, Video

TITLES = [
    f"PyCon 2019 - {name} - {subject}"
    for name, subject in (
        ("Ada Byron", "Compilers for people in a hurry"),
        ("Grace Hopper", "What a nanosecond looks like"),
        ("Alan Kay", "Messages, not objects"),
    )
]


def test_example_in_the_docstring_works() -> None:
    assert doctest.testmod(titlecard) == doctest.TestResults(failed=0, attempted=3)


def test_dictionaries_and_videos_yield_the_same_talks() -> None:
    rows = [{"id": number, "title": title} for number, title in enumerate(TITLES)]
    videos = [Video(id=str(row["id"]), title=str(row["title"])) for row in rows]
    talks = list(titlecard.parse(rows))
    assert talks == list(titlecard.parse(iter(videos)))
    assert [talk.presenters for talk in talks] == [("Ada Byron",), ("Grace Hopper",), ("Alan Kay",)]
    assert {(talk.tier, talk.review, talk.cost_micro_usd) for talk in talks} == {(Tier.LOCAL, None, 0)}


def test_survey_covers_a_list_that_changes_its_template_after_its_sample() -> None:
    first = [{"id": n, "title": f"Notes on subject {n}"} for n in range(600)]
    rows = first + [{"id": n, "title": f"{TITLES[n % 3]} {n}"} for n in range(600, 1200)]
    talks = list(titlecard.parse(rows))
    assert len(talks) == len(rows)
    assert {talk.presenters for talk in talks[600:]} == {("Ada Byron",), ("Grace Hopper",), ("Alan Kay",)}


def test_no_videos_yield_no_talks() -> None:
    assert list(titlecard.parse([])) == []


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "2"}, r"videos\[1\]: title: Field required"),
        ({"title": "No id"}, r"videos\[1\]: id: Field required"),
        ({"id": "2", "title": "Typo", "desciption": "x"}, r"videos\[1\]: desciption: Extra inputs"),
        ({"id": None, "title": "A"}, r"videos\[1\]: id: Field required"),
    ],
)
def test_dictionary_that_is_not_a_video_is_refused_with_its_index(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        titlecard.parse([{"id": "1", "title": TITLES[0]}, row])


def test_values_may_have_the_types_of_a_database() -> None:
    row = {"id": 1, "title": "Linkers", "description": None, "published_at": datetime(2026, 1, 5, tzinfo=UTC)}
    (talk,) = titlecard.parse([row | {"presenters": ["Ada Byron"]}])
    assert (talk.title, talk.presenters) == ("Linkers", ("Ada Byron",))


def test_anything_but_a_dictionary_or_a_video_is_refused() -> None:
    one: Any = {"id": "1", "title": TITLES[0]}  # not a list
    with pytest.raises(TypeError, match=r"videos\[0\]: a str is neither"):
        titlecard.parse(one)


def test_no_aws_package_and_no_model_client_is_imported() -> None:
    program = """
import json, sys
from titlecard import parse
list(parse([{"id": 1, "title": "Ada Byron: Compilers"}]))
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603 -- ours
    heavy = {"boto3", "botocore", "aws_lambda_powertools", "openai", "pydantic_ai", "typer", "rich", "yaml"}
    assert heavy.isdisjoint(json.loads(done.stdout))


def test_local_tier_alone_imports_neither_pydantic_nor_dataclasses() -> None:
    program = "import json, sys, titlecard.extraction; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603 -- ours
    assert {"pydantic", "dataclasses", "pathlib"}.isdisjoint(json.loads(done.stdout))
