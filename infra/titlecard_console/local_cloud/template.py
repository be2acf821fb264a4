"""`template.yaml` as the console reads it: its parameters, their allowed values, and whether they agree.

Only the template holds the deployment's numbers, and only this module reads them for the console. CloudFormation's
short tags are expanded, so that a document is plain data and valid JSON.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

try:
    from yaml import CSafeLoader as SafeLoader  # takes an eighth of the time; PyYAML's wheels have it
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]

from titlecard.domain.errors import excerpt
from titlecard.preflight import violations
from titlecard_console.errors import CommandError
from titlecard_console.installation import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Parameter:
    """One parameter of the template, as CloudFormation declares it."""

    name: str
    number: bool
    default: str | None
    description: str
    allowed: tuple[str, ...]
    least: int | None
    most: int | None
    pattern: str | None

    def check(self, value: str) -> None:
        """Refuse a value that CloudFormation would refuse.

        Raises:
            CommandError: the value is refused; the message says which values are allowed.
        """
        shown = excerpt(value)  # somebody may have set OPENAI_BASE_URL to a key
        if self.allowed and value not in self.allowed:
            raise CommandError(f"{self.name} cannot be {shown!r}: it is one of {', '.join(self.allowed)}.")
        if self.pattern and not re.search(self.pattern, value):
            raise CommandError(f"{self.name} cannot be {shown!r}: it must match {self.pattern}. {self.description}")
        if self.number:
            if not re.fullmatch(r"-?\d+", value):
                raise CommandError(f"{self.name} cannot be {shown!r}: it is a whole number. {self.description}")
            if self.least is not None and int(value) < self.least:
                raise CommandError(f"{self.name} cannot be {value}: it is {self.least} or more. {self.description}")
            if self.most is not None and int(value) > self.most:
                raise CommandError(f"{self.name} cannot be {value}: it is {self.most} or less. {self.description}")


@dataclass(frozen=True)
class Template:
    """A CloudFormation template; `document` has its tags expanded."""

    document: Mapping[str, Any]
    parameters: Mapping[str, Parameter]

    def values(self, overrides: Mapping[str, str]) -> dict[str, str]:
        """Return every parameter's value: the defaults and the overrides, checked separately and together.

        Raises:
            CommandError: there is no such parameter, its value is refused, or the numbers clash.
        """
        for name in overrides:
            if name not in self.parameters:
                raise CommandError(_unknown(name, self.parameters))
        values = {}
        for name, parameter in self.parameters.items():
            value = overrides.get(name, parameter.default)
            if value is None:
                raise CommandError(f"{name} has no default: set it. {parameter.description}")
            parameter.check(value)
            values[name] = value
        if sentences := violations(values):
            raise CommandError(" ".join(sentences))
        return values

    def resources(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """Return the properties of all resources of one type, by logical id."""
        found = self.document["Resources"].items()
        return {name: resource["Properties"] for name, resource in found if resource["Type"] == kind}

    def with_code(self, locations: Mapping[str, str]) -> str:
        """Return the template as JSON, with each function's code in S3 instead of the folder `functions/`.

        Args:
            locations: `s3://bucket/key` by the logical id of the function.
        """
        document = json.loads(json.dumps(self.document))
        for name, location in locations.items():
            document["Resources"][name]["Properties"]["CodeUri"] = location
        return json.dumps(document)


def load(path: Path = ROOT / "template.yaml") -> Template:
    """Read a template.

    Raises:
        OSError: the file cannot be read.
        yaml.YAMLError: the file is not YAML.
    """
    document = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 -- a SafeLoader with tags
    return Template(document, {name: _parameter(name, it) for name, it in document["Parameters"].items()})


def _parameter(name: str, declared: Mapping[str, Any]) -> Parameter:
    default = declared.get("Default")
    return Parameter(
        name=name,
        number=declared["Type"] == "Number",
        default=None if default is None else str(default),
        description=declared.get("Description", ""),
        allowed=tuple(map(str, declared.get("AllowedValues", ()))),
        least=declared.get("MinValue"),
        most=declared.get("MaxValue"),
        pattern=declared.get("AllowedPattern"),
    )


def _unknown(name: str, known: Mapping[str, Parameter]) -> str:
    by_lower = {it.lower(): it for it in known}
    near = [by_lower[it] for it in difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)]
    near += [it for it in known if name.lower() in it.lower() and it not in near]
    hint = f"similar names are {', '.join(near)}" if near else f"its parameters are {', '.join(sorted(known))}"
    return f"template.yaml has no parameter {name!r}; {hint}."


class _Loader(SafeLoader):
    """A YAML loader for CloudFormation's short tags: `!Ref x` is `{"Ref": "x"}`, `!Sub x` is `{"Fn::Sub": "x"}`."""


def _long_form(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if tag == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]  # the third and last kind of node
    return {tag if tag in {"Ref", "Condition"} else f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _long_form)
