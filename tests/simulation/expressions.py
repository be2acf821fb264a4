"""DynamoDB's expressions, parsed once and evaluated on items in Python values.

The module implements what production uses of the developer guide's "Expressions in DynamoDB": paths into maps and
lists, comparison, AND / OR / NOT / IN / BETWEEN, the functions, SET with arithmetic, REMOVE, ADD and DELETE. Every
operand of an update reads the item as it was before. Items are never changed in place: an update returns a new item
that shares the unchanged parts.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

Item = dict[str, Any]
Names = Mapping[str, str]
Values = Mapping[str, Any]
Path = tuple[str | int, ...]
_Operand = Callable[[Item, Values], Any]
_Test = Callable[[Item, Values], bool]


class Invalid(Exception):
    """A ValidationException: the expression does not fit the item or its placeholders."""


class _Missing:
    """Stands for an attribute that does not exist."""


MISSING = _Missing()

_TOKEN = re.compile(r"\s*(#\w+|:\w+|[A-Za-z_]\w*|\d+|<>|<=|>=|[=<>(),.\[\]+-])")
_KEYWORDS = {"AND", "OR", "NOT", "IN", "BETWEEN", "SET", "REMOVE", "ADD", "DELETE"}


_KINDS: dict[type, str] = {
    str: "S",
    Decimal: "N",
    bool: "BOOL",
    type(None): "NULL",
    list: "L",
    dict: "M",
    frozenset: "SS",
}
"""The types that items consist of, with DynamoDB's names for them; sets are of strings here."""


def same(one: object, other: object) -> bool:
    """Return whether two values are equal for DynamoDB: the same type and the same value."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def holds(text: str, item: Item, names: Names, values: Values) -> bool:
    """Return whether a condition holds for an item; a missing item counts as empty."""
    test, ranges = _condition(text, tuple(names.items()))
    for low, high in ranges:  # checked before the condition, as DynamoDB does
        if _less(_given(high, values), _given(low, values)):
            raise Invalid("The BETWEEN operator requires upper bound to be greater than or equal to lower bound")
    return test(item, values)


def updated(text: str, item: Item, names: Names, values: Values) -> tuple[Item, list[Path]]:
    """Return the updated item, and the paths that the update has set.

    Raises:
        Invalid: the update cannot apply to this item.
    """
    new = dict(item)
    touched = []
    steps = [
        (verb, path, operand(item, values) if operand else None)
        for verb, path, operand in _changes(text, tuple(names.items()))
    ]
    for verb, path, value in steps:
        if verb == "REMOVE":
            _remove(new, path)
            continue
        old = at(item, path)
        match verb:
            case "SET":
                result = value
            case "ADD":
                result = _added(old, value)
            case _:
                result = old - value if isinstance(old, frozenset) and isinstance(value, frozenset) else old
        if result is MISSING:
            raise Invalid("The provided expression refers to an attribute that does not exist in the item")
        touched.append(path)
        _set(new, path, result)
    return new, touched


def placeholders(*texts: str) -> set[str]:
    """Return the placeholders that expressions use."""
    return {token for text in texts for token in _placeholders(text)}


def at(item: Any, path: Path) -> Any:  # noqa: ANN401 -- a value of DynamoDB
    """Return the value at a path; `MISSING` if there is none."""
    for step in path:
        if isinstance(step, str):
            if not isinstance(item, dict) or step not in item:
                return MISSING
        elif not isinstance(item, list) or step >= len(item):
            return MISSING
        item = item[step]
    return item


# ------------------------------------------------------------------------------------------------------ reading


_Aliases = tuple[tuple[str, str], ...]


@lru_cache(maxsize=4096)
def _placeholders(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[#:]\w+", text))


@lru_cache(maxsize=4096)
def _condition(text: str, names: _Aliases) -> tuple[_Test, list[tuple[str, str]]]:
    reader = _Reader(text, names)
    test = reader.condition()
    reader.end()
    return test, reader.ranges


@lru_cache(maxsize=4096)
def _changes(text: str, names: _Aliases) -> tuple[tuple[str, Path, _Operand | None], ...]:
    return tuple(_Reader(text, names).changes())


class _Reader:
    """Recursive descent over an expression's tokens."""

    def __init__(self, text: str, names: _Aliases) -> None:
        self._text = text
        self._names = dict(names)
        self.ranges: list[tuple[str, str]] = []
        """The bounds of each BETWEEN whose bounds are both values."""
        self._tokens: list[str] = []
        place = 0
        while place < len(text.rstrip()):
            found = _TOKEN.match(text, place)
            if not found:
                raise Invalid(f"Syntax error at {place}: {text}")
            self._tokens.append(found[1])
            place = found.end()
        self._next = 0

    def end(self) -> None:
        if self._next != len(self._tokens):
            raise Invalid(f"Syntax error at {self._peek()!r}: {self._text}")

    def condition(self) -> _Test:
        left = self._conjunction()
        while self._take("OR"):
            left = _either(left, self._conjunction())
        return left

    def changes(self) -> list[tuple[str, Path, _Operand | None]]:
        changes: list[tuple[str, Path, _Operand | None]] = []
        while self._next < len(self._tokens):
            verb = self._placeholder()
            if verb not in {"SET", "REMOVE", "ADD", "DELETE"}:
                raise Invalid(f"Syntax error at {verb!r}: {self._text}")
            while True:
                path = self._path(self._placeholder())
                operand: _Operand | None = None
                if verb == "SET":
                    self._expect("=")
                    operand = self._sum()
                elif verb != "REMOVE":
                    operand = self._operand()
                changes.append((verb, path, operand))
                if not self._take(","):
                    break
        return changes

    def _conjunction(self) -> _Test:
        left = self._negation()
        while self._take("AND"):
            left = _both(left, self._negation())
        return left

    def _negation(self) -> _Test:
        if self._take("NOT"):
            test = self._negation()
            return lambda item, values: not test(item, values)
        if self._take("("):
            test = self.condition()
            self._expect(")")
            return test
        return self._comparison()

    def _comparison(self) -> _Test:
        if self._peek() in _TESTS and self._peek(1) == "(":
            test = _TESTS[self._placeholder()]
            arguments = self._arguments()
            return lambda item, values: test(*(it(item, values) for it in arguments))
        left = self._operand()
        operator = self._placeholder().upper()
        if operator == "IN":
            options = self._arguments()
            return lambda item, values: any(_equal(left(item, values), option(item, values)) for option in options)
        if operator == "BETWEEN":
            bounds = self._peek(), self._peek(2)
            low = self._operand()
            self._expect("AND")
            high = self._operand()
            if all(bound.startswith(":") for bound in bounds):
                self.ranges.append(bounds)
            return lambda item, values: _between(*(it(item, values) for it in (left, low, high)))
        compare, right = _COMPARISONS[operator], self._operand()
        return lambda item, values: compare(left(item, values), right(item, values))

    def _sum(self) -> _Operand:
        left = self._operand()
        if self._peek() not in {"+", "-"}:
            return left
        sign = 1 if self._placeholder() == "+" else -1
        right = self._operand()
        return lambda item, values: _plus(left(item, values), right(item, values), sign)

    def _operand(self) -> _Operand:
        word = self._placeholder()
        if word.startswith(":"):
            return lambda _item, values: _given(word, values)
        if self._peek() == "(" and word in _FUNCTIONS:
            function, arguments = _FUNCTIONS[word], self._arguments()
            return lambda item, values: function(*(it(item, values) for it in arguments))
        if self._peek() == "(":
            raise Invalid(f"Invalid function name: {word}")
        path = self._path(word)
        if len(path) == 1 and isinstance(path[0], str):
            name = path[0]
            return lambda item, _values: item.get(name, MISSING)
        return lambda item, _values: at(item, path)

    def _arguments(self) -> list[_Operand]:
        self._expect("(")
        arguments = [self._operand()]
        while self._take(","):
            arguments.append(self._operand())
        self._expect(")")
        return arguments

    def _path(self, first: str) -> Path:
        path: list[str | int] = [self._name(first)]
        while self._peek() in {".", "["}:
            if self._take("."):
                path.append(self._name(self._placeholder()))
            else:
                self._expect("[")
                path.append(int(self._placeholder()))
                self._expect("]")
        return tuple(path)

    def _name(self, step: str) -> str:
        if not step.startswith("#"):
            return step
        if step not in self._names:
            raise Invalid(f"An expression attribute name used in the document path is not defined: {step}")
        return self._names[step]

    def _peek(self, ahead: int = 0) -> str:
        place = self._next + ahead
        return self._tokens[place] if place < len(self._tokens) else ""

    def _placeholder(self) -> str:
        word = self._peek()
        if not word:
            raise Invalid(f"Syntax error at the end: {self._text}")
        self._next += 1
        return word.upper() if word.upper() in _KEYWORDS else word

    def _take(self, token: str) -> bool:
        if self._peek().upper() != token:
            return False
        self._next += 1
        return True

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise Invalid(f"Syntax error at {self._peek()!r}, not {token!r}: {self._text}")


def _both(left: _Test, right: _Test) -> _Test:
    return lambda item, values: left(item, values) and right(item, values)


def _either(left: _Test, right: _Test) -> _Test:
    return lambda item, values: left(item, values) or right(item, values)


def _given(word: str, values: Values) -> Any:  # noqa: ANN401 -- a value of DynamoDB
    if word not in values:
        raise Invalid(f"An expression attribute value used in expression is not defined: {word}")
    return values[word]


# --------------------------------------------------------------------------------------------------- evaluating


def _equal(one: object, other: object) -> bool:
    return one is not MISSING and other is not MISSING and same(one, other)


def _ordered(one: object, other: object) -> bool:
    return type(one) is type(other) and isinstance(one, str | Decimal)


def _less(one: Any, other: Any) -> bool:  # noqa: ANN401 -- values of DynamoDB
    return _ordered(one, other) and bool(one < other)


def _at_most(one: Any, other: Any) -> bool:  # noqa: ANN401 -- values of DynamoDB
    return _ordered(one, other) and bool(one <= other)


def _between(one: Any, low: Any, high: Any) -> bool:  # noqa: ANN401 -- values of DynamoDB
    if _less(high, low):
        raise Invalid("The BETWEEN operator requires upper bound to be greater than or equal to lower bound")
    return _at_most(low, one) and _at_most(one, high)


def _contains(whole: Any, part: Any) -> bool:  # noqa: ANN401 -- values of DynamoDB
    if isinstance(whole, str):
        return isinstance(part, str) and part in whole
    if isinstance(whole, list | frozenset):
        return any(same(it, part) for it in whole)
    return False


def _begins(whole: Any, part: Any) -> bool:  # noqa: ANN401 -- values of DynamoDB
    return isinstance(whole, str) and isinstance(part, str) and whole.startswith(part)


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": _equal,
    "<>": lambda one, other: not _equal(one, other),
    "<": _less,
    "<=": _at_most,
    ">": lambda one, other: _less(other, one),
    ">=": lambda one, other: _at_most(other, one),
}

_TESTS: dict[str, Callable[..., bool]] = {
    "attribute_exists": lambda value: value is not MISSING,
    "attribute_not_exists": lambda value: value is MISSING,
    "attribute_type": lambda value, wanted: value is not MISSING and _KINDS[type(value)] == wanted,
    "begins_with": _begins,
    "contains": _contains,
}


def _append(one: object, other: object) -> list[Any]:
    if not isinstance(one, list) or not isinstance(other, list):
        raise Invalid("An operand in the update expression has an incorrect data type: list_append takes lists")
    return [*one, *other]


def _plus(one: object, other: object, sign: int) -> Decimal:
    if one is MISSING or other is MISSING:
        raise Invalid("The provided expression refers to an attribute that does not exist in the item")
    if not isinstance(one, Decimal) or not isinstance(other, Decimal):
        raise Invalid("An operand in the update expression has an incorrect data type")
    return one + sign * other


def _size(value: object) -> Any:  # noqa: ANN401 -- a number of DynamoDB, or nothing
    return Decimal(len(value)) if isinstance(value, str | list | dict | frozenset) else MISSING


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "if_not_exists": lambda value, other: other if value is MISSING else value,
    "list_append": _append,
    "size": _size,
}


def _added(old: object, value: object) -> object:
    if isinstance(value, Decimal) and (old is MISSING or isinstance(old, Decimal)):
        return value if old is MISSING else old + value  # type: ignore[operator]  # a number, by the line above
    if isinstance(value, frozenset) and (old is MISSING or isinstance(old, frozenset)):
        return value if old is MISSING else old | value  # type: ignore[operator]  # a set, likewise
    raise Invalid("An operand in the update expression has an incorrect data type")


def _set(item: Item, path: Path, value: object) -> None:
    """Set a path of our own copy of an item; copy the containers on the path."""
    here: Any = item
    for step, following in itertools.pairwise(path):
        inner = at(here, (step,))
        if not isinstance(inner, dict if isinstance(following, str) else list):
            raise Invalid("The document path provided in the update expression is invalid for update")
        here[step] = dict(inner) if isinstance(inner, dict) else list(inner)
        here = here[step]
    last = path[-1]
    if isinstance(last, int) and last >= len(here):
        here.append(value)
    else:
        here[last] = value


def _remove(item: Item, path: Path) -> None:
    if at(item, path[:-1]) is MISSING:
        raise Invalid("The document path provided in the update expression is invalid for update")
    if at(item, path) is MISSING:
        return
    here: Any = item
    for step in path[:-1]:
        inner = here[step]
        here[step] = dict(inner) if isinstance(inner, dict) else list(inner)
        here = here[step]
    del here[path[-1]]
