"""The builder of data sets, on a small repository with its own history."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from training.build_dataset import codeandtalk, pyvideo, rubyevents
from training.dataset import Row, split

if TYPE_CHECKING:
    from pathlib import Path


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git makes the data sets, and the PATH has none")


def git(repository: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(repository), *identity, *arguments], check=True, capture_output=True)  # noqa: S603, S607


def save(path: Path, **fields: Any) -> None:  # noqa: ANN401  # whatever JSON holds
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(fields), encoding="utf-8")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Make a repository whose editors repaired scraped videos, moved one, and knew more than the input says."""
    videos = tmp_path / "devconf-2031" / "videos"
    git(tmp_path, "init", "--initial-branch=main")
    save(videos / "compilers.json", title="Compilers - Ada Byron (DevConf)", description="", speakers=[])
    save(videos / "linkers.json", title="Linkers", description="Speaker: Omar Haddad", speakers=[])
    save(videos / "parsers.json", title="Parsers", description="No one is named.", speakers=[])
    save(videos / "unnamed.json", title="Loaders", description="", speakers=[])
    save(videos / "half-named.json", title="Assemblers - Ada Byron", description="", speakers=[])
    save(videos / "misspelt.json", title="Debuggers - Eva Mallory", description="", speakers=[])
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "scraped")
    git(tmp_path, "mv", str(videos / "linkers.json"), str(videos / "linkers-explained.json"))
    git(tmp_path, "commit", "-m", "moved")
    save(videos / "compilers.json", title="Compilers", description="", speakers=["Ada Byron"])
    save(videos / "linkers-explained.json", title="Linkers", description="", speakers=["Omar Haddad"])
    save(videos / "parsers.json", title="Parsers", description="No one is named.", speakers=["Various speakers"])
    save(videos / "unnamed.json", title="Loaders", description="", speakers=["Eve Mallory"])
    save(videos / "half-named.json", title="Assemblers", description="", speakers=["Ada Byron", "Eve Mallory"])
    save(videos / "misspelt.json", title="Debuggers", description="", speakers=["Eve Mallory"])
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "edited")
    return tmp_path


@needs_git
def test_the_first_version_is_the_input_and_the_last_the_answer(clone: Path) -> None:
    row = {row["id"]: row for row in pyvideo(clone)}["devconf-2031/videos/compilers"]
    assert (row["title"], row["expected"]) == (
        "Compilers - Ada Byron (DevConf)",
        {"title": "Compilers", "presenters": ["Ada Byron"]},
    )


@needs_git
def test_a_moved_file_keeps_its_first_version(clone: Path) -> None:
    row = {row["id"]: row for row in pyvideo(clone)}["devconf-2031/videos/linkers-explained"]
    assert row["description"] == "Speaker: Omar Haddad"


@needs_git
def test_rows_are_sorted_into_kinds(clone: Path) -> None:
    assert {row["id"].rsplit("/", 1)[1]: row["kind"] for row in pyvideo(clone)} == {
        "compilers": "names_in_title",
        "linkers-explained": "names_in_description",
        "parsers": "no_names",
        "unnamed": "no_names",
    }


@needs_git
def test_no_presenter_is_expected_if_the_input_names_none(clone: Path) -> None:
    row = {row["id"]: row for row in pyvideo(clone)}["devconf-2031/videos/unnamed"]
    assert row["expected"] == {"title": "Loaders", "presenters": []}


@needs_git
@pytest.mark.parametrize("name", ["half-named", "misspelt"])
def test_a_row_whose_presenters_are_not_all_in_the_input_is_left_out(clone: Path, name: str) -> None:
    assert not any(row["id"].endswith(name) for row in pyvideo(clone))


@needs_git
def test_the_raw_title_of_rubyevents_is_the_input(tmp_path: Path) -> None:
    git(tmp_path, "init", "--initial-branch=main")
    path = tmp_path / "data" / "devconf" / "devconf-2031" / "videos.yml"
    path.parent.mkdir(parents=True)
    path.write_text(
        "- {id: a, title: Compilers, raw_title: DevConf 2031 - Compilers by Ada Byron, speakers: [Ada Byron]}\n"
        "- {id: b, title: Linkers, speakers: [Omar Haddad]}\n",
        encoding="utf-8",
    )
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "edited")
    (row,) = rubyevents(tmp_path)
    assert (row["title"], row["series"], row["expected"]) == (
        "DevConf 2031 - Compilers by Ada Byron",
        "devconf",
        {"title": "Compilers", "presenters": ["Ada Byron"]},
    )


@needs_git
def test_codeandtalk_has_rows_of_edited_titles_and_of_names_in_descriptions(tmp_path: Path) -> None:
    git(tmp_path, "init", "--initial-branch=main")
    videos = tmp_path / "data" / "videos" / "devconf-2031"
    save(tmp_path / "data" / "people" / "ada-byron.json", name="Ada Byron")
    save(videos / "compilers.json", title="Compilers (Ada Byron)", speakers=["ada-byron"])
    save(videos / "linkers.json", title="Linkers", speakers=["ada-byron"])
    save(videos / "parsers.json", title="Parsers", description="Speaker: Ada Byron", speakers=["ada-byron"])
    save(tmp_path / "data" / "series.json", devconf={})
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "scraped")
    save(videos / "compilers.json", title="Compilers", speakers=["ada-byron"])
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "edited")
    assert [(row["title"], row["series"], row["expected"]) for row in codeandtalk(tmp_path)] == [
        ("Compilers (Ada Byron)", "devconf", {"title": "Compilers", "presenters": ["Ada Byron"]}),
        ("Parsers", "devconf", {"title": "Parsers", "presenters": ["Ada Byron"]}),
    ]


def test_all_years_of_a_conference_are_in_one_fold() -> None:
    made = [Row(f"{n}", f"conf{n % 7}-{2000 + n}", "no_names", "t", "", "t", (), f"conf{n % 7}") for n in range(70)]
    assert set(split(made, 3, seed=1)) == {f"conf{n}" for n in range(7)}
