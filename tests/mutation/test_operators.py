"""The mistakes: each changes what its name says, and nothing else."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from tests.mutation.__main__ import main
from tests.mutation.coverage import NOTED, noting
from tests.mutation.operators import mistakes

SOURCE = '''"""A module."""

from __future__ import annotations

LIMIT = 5


def fits(need: int, room: int | None) -> bool:
    """Whether it fits."""
    if room is None:
        return True
    if not need and room:
        raise ValueError
    return need + 1 <= room


class Table:
    def write(self) -> str:
        self.log("written")
        return "attribute_not_exists(pk) AND total <= :room"
'''


def changes() -> set[tuple[str, str]]:
    return {(it.before, it.after) for it in mistakes("module", SOURCE.encode())}


@pytest.mark.parametrize(
    "change",
    [
        ("is", "is not"),
        ("<=", "<"),
        ("and", "or"),
        ("+", "-"),
        ("not need", "need"),
        ("True", "False"),
        ("raise ValueError", "pass"),
        ('self.log("written")', "pass"),
        ("need + 1 <= room", "None"),
        ("attribute_not_exists", "attribute_exists"),
        (" AND ", " OR "),
        (" <= ", " < "),
    ],
)
def test_mistake_is_made(change: tuple[str, str]) -> None:
    assert change in changes()


def test_limit_with_a_name_is_left_alone() -> None:
    assert ("5", "6") not in changes()


def test_every_mistake_is_python_and_differs_from_the_source() -> None:
    for mistake in mistakes("module", SOURCE.encode()):
        made = mistake.made(SOURCE.encode())
        assert ast.dump(ast.parse(made)) != ast.dump(ast.parse(SOURCE)), mistake.name


def test_mistake_keeps_its_name_when_other_lines_move() -> None:
    moved = SOURCE.replace("LIMIT = 5", "LIMIT = 5\nOTHER = 6")
    before, after = ([it.name for it in mistakes("module", text.encode())] for text in (SOURCE, moved))
    assert before == after


def test_noting_module_notes_the_statements_that_are_executed() -> None:
    noted: list[str] = []
    space: dict[str, Any] = {"__name__": "module"}
    code = compile(noting("module", SOURCE), "module", "exec")
    exec(code, space)  # noqa: S102 -- the source above
    space[NOTED] = noted.append
    space["fits"](1, 2)
    assert noted[1:] == [
        "module: fits: if room is None:",
        "module: fits: if not need and room:",
        "module: fits: return need + 1 <= room",
    ]


def test_mistake_in_a_function_bears_the_name_under_which_its_statement_is_noted() -> None:
    (mistake,) = [it for it in mistakes("module", SOURCE.encode()) if it.before == "+"]
    assert mistake.statement == "module: fits: return need + 1 <= room"


@pytest.mark.parametrize("name", ["pipeline.lines", "pipeline.nothing"])
def test_a_module_whose_tests_are_not_recorded_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["tests.mutation", "--only", name])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code
