"""People listed elsewhere in a file: sessions refer by keys to speakers, who come after all sessions.

A file of such a form is read twice: once for the people, once for its rows.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from titlecard.manifests import people as naming
from titlecard.manifests.names import recognise

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PEOPLE_MAX = 50_000
"""The most people of one file; later people stay without a name."""

_KEY_CHARACTERS, _NAME_CHARACTERS = 80, 100
"""The most characters kept of a key and of a name, so that all people of a file take some tens of megabytes."""

_MODELS_MAX, _FIELDS_MAX = 300, 200

_LINKS_MAX = 100_000
"""The most records of a file that tie a person to a talk; later ones are not read."""

_TALK_FIELDS = ("talk", "session", "video", "presentation", "proposal", "submission", "lecture", "event")
_ORDER_FIELDS = ("order", "position", "sort_order", "sort")
_PEOPLE_MODELS = ("speaker", "presenter", "person", "people", "author", "user", "profile", "participant", "panel")


class _Link(NamedTuple):
    """What ties a person to a talk: the person's place, the field or model of people, and the person's key."""

    place: int
    people: str
    person: str


class References:
    """The people of a file, and which of its models are talks.

    Attributes:
        people: names by key.
    """

    def __init__(self, people: Mapping[str, str] | None = None) -> None:
        self.people: Mapping[str, str] = people or {}
        self._by_model: dict[str, dict[str, str]] = {}
        self._talks: frozenset[str] | None = None
        self._links: dict[tuple[str, str], list[_Link]] = {}

    def may_be_talk(self, model: str) -> bool:
        """Return whether the records of a Django model may be talks."""
        return self._talks is None or model in self._talks

    def of_field(self, name: str) -> References:
        """Return the people that a Django field refers to: those of the model with the field's name."""
        stem = name.casefold().rstrip("s")
        alike = [it for it in self._by_model if stem and stem in it.rpartition(".")[2].casefold()]
        models = alike or list(self._by_model)
        return References(self._by_model[models[0]] if len(models) == 1 else None)

    def tied_to(self, model: str, key: str) -> tuple[str, ...]:
        """Return the names of the people that other records tie to a talk: a through model's, or people's own."""
        name = model.rpartition(".")[2].casefold()
        links = [it for field in _TALK_FIELDS if field in name for it in self._links.get((field, key), ())]
        named = (self._by_model.get(it.people, self.of_field(it.people).people).get(it.person) for it in sorted(links))
        return tuple(filter(None, named))

    @classmethod
    def of_speakers(cls, records: Iterable[Any]) -> References:
        """Read the list of speakers that Sessionize and pretalx write beside the list of sessions."""
        found: dict[str, str] = {}
        for record in records:
            if isinstance(record, dict) and len(found) < PEOPLE_MAX:
                key, name = record.get("id", record.get("code")), naming.name_of(record)
                if isinstance(key, str | int) and name:
                    found[str(key)[:_KEY_CHARACTERS]] = name[:_NAME_CHARACTERS]
        return cls(found)

    @classmethod
    def of_django(cls, records: Iterable[Any]) -> References:
        """Read the records of a `dumpdata` file, whose models refer to each other by keys."""
        references = cls()
        fields_of: dict[str, Counter[str]] = {}
        count = people = 0
        for record in records:
            match record:
                case {"model": str() as model, "fields": dict() as fields}:
                    if len(fields_of) < _MODELS_MAX:
                        fields_of.setdefault(model, Counter()).update(
                            dict.fromkeys((it for it in list(fields)[:_FIELDS_MAX] if len(it) <= _KEY_CHARACTERS), 1)
                        )
                    key = record.get("pk")
                    name = naming.name_of(fields) if _is_about_people(model.rpartition(".")[2]) else None
                    if count < _LINKS_MAX and "title" not in fields:
                        count += references._tie(fields, model, key if name else None)
                    if name and isinstance(key, str | int) and people < PEOPLE_MAX:
                        found = references._by_model.setdefault(model, {})
                        found[str(key)[:_KEY_CHARACTERS]] = name[:_NAME_CHARACTERS]
                        people += 1
        references._talks = _talk_models({model: recognise(names) for model, names in fields_of.items()})
        return references

    def _tie(self, fields: Mapping[str, Any], model: str, person: str | int | None) -> int:
        """Remember the talks that a record ties people to; return how many ties there are.

        Args:
            fields: the record's fields.
            model: its model.
            person: its own key if it is a person; None if its fields name the people.
        """
        keys = [(model, person)] if person is not None else [it for it in fields.items() if _is_about_people(it[0])]
        place = next((fields[name] for name in _ORDER_FIELDS if type(fields.get(name)) is int), 0)
        ties = 0
        for name, value in fields.items() if keys else ():
            field = next((it for it in _TALK_FIELDS if it in name.casefold()), None)
            for talk in (value if isinstance(value, list) else [value])[:_FIELDS_MAX] if field else ():
                for people, key in keys[:_FIELDS_MAX]:
                    if field and type(talk) in {int, str} and type(key) in {int, str}:
                        link = _Link(place, people[:_KEY_CHARACTERS], str(key)[:_KEY_CHARACTERS])
                        self._links.setdefault((field, str(talk)[:_KEY_CHARACTERS]), []).append(link)
                        ties += 1
        return ties


def _is_about_people(name: str) -> bool:
    return any(part in name.casefold() for part in _PEOPLE_MODELS)


def _talk_models(columns: Mapping[str, Mapping[str, str]]) -> frozenset[str] | None:
    """Return the models that are talks: those with a title and, if any has them, with people or an address.

    None if no model has a title: then each record says for itself what it lacks.
    """
    titled = {
        model: found
        for model, found in columns.items()
        if "title" in found and not _is_about_people(model.rpartition(".")[2])
    }
    for sign in ("presenters", "url", "description"):
        if signed := [model for model, found in titled.items() if sign in found]:
            return frozenset(signed)
    return frozenset(titled) or None
