"""People listed elsewhere in a file: sessions refer by keys to speakers, who come after all sessions.

A table can also have a row for each pair of a talk and a speaker, as Sessionize's flattened sessions do. A file of such
a form is read twice: once for the people, once for its rows.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from titlecard.manifests import presenters as naming
from titlecard.manifests.column_names import recognise

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from titlecard.domain.video import Video

PEOPLE_MAX = 50_000
"""The most people of one file whose names are known."""

_KEY_CHARACTERS, _NAME_CHARACTERS = 80, 100
"""The most characters kept of a key and of a name, so that all people of a file take some tens of megabytes."""

_MODELS_MAX, _FIELDS_MAX = 300, 200

_LINKS_MAX = 100_000
"""The most links between people and talks in one file."""

TALKS_MAX = 100_000
"""The most talks of one table whose speakers are collected from several rows; later ones keep those of their row."""

_TALK_FIELDS = ("talk", "session", "video", "presentation", "proposal", "submission", "lecture", "event")
_TALK_NAMES = ("talk", "session", "video", "presentation", "submission", "lecture")
"""The parts of a model's name by which talks precede other records with a title, such as events and proposals."""

_ACCOUNT_FIELDS = ("user", "person", "profile", "account")
_ORDER_FIELDS = ("order", "position", "sort_order", "sort")
_KEYS = ("id", "code", "slug", "key", "username", "email")
"""The fields that may be a person's key; those after `id` are also Django's natural keys."""

_PEOPLE_MODELS = ("speaker", "presenter", "person", "people", "author", "user", "profile", "participant", "panel")


class _Link(NamedTuple):
    """What links a person to a talk: the person's place, the field or model of people, and the person's key."""

    place: int
    people: str
    person: str


class References:
    """The people of a file, and which of its models are talks.

    Attributes:
        people: names by key.
        faults: sentences about the people and links that were too many to keep.
    """

    def __init__(self, people: Mapping[str, str] | None = None) -> None:
        self.people: Mapping[str, str] = {} if people is None else people
        self._by_model: dict[str, dict[str, str]] = {}
        self._talks: frozenset[str] | None = None
        self._links: dict[tuple[str, str], list[_Link]] = {}
        self._speakers: dict[bytes, tuple[str, ...]] = {}  # of a talk that has a row for each of them
        self._accounts: list[tuple[str, str, str, str]] = []  # people who have their names in a user's record
        self._people_known = self._people_lost = self._links_known = self._links_lost = 0

    @property
    def faults(self) -> tuple[str, ...]:
        """What a person must know about talks that are read without some of their speakers."""
        found = []
        if self._people_lost:
            found.append(
                f"The file lists more than {PEOPLE_MAX:,} people: talks of the last {self._people_lost:,} of them are "
                "read without their names. Split the file."
            )
        if self._links_lost:
            found.append(
                f"The file links people to talks more than {_LINKS_MAX:,} times: talks of the last {self._links_lost:,}"
                " links are read without these speakers. Split the file."
            )
        return tuple(found)

    def may_be_talk(self, model: str) -> bool:
        """Return whether the records of a Django model may be talks."""
        return self._talks is None or model in self._talks

    def of_field(self, name: str) -> References:
        """Return the people that a Django field refers to: those of the model with the field's name."""
        stem = name.casefold().rstrip("s")
        alike = [it for it in self._by_model if stem and stem in _name_of(it)]
        models = alike or list(self._by_model)
        return References(self._by_model[models[0]] if len(models) == 1 else None)

    def linked_to(self, model: str, key: str) -> tuple[str, ...]:
        """Return the names of the people that other records tie to a talk: a through model's, or people's own."""
        name = _name_of(model)
        links = [it for field in _TALK_FIELDS if field in name for it in self._links.get((field, key), ())]
        named = (self._by_model.get(it.people, self.of_field(it.people).people).get(it.person) for it in sorted(links))
        return tuple(filter(None, named))

    def speakers_of(self, video: Video) -> tuple[str, ...]:
        """Return the speakers of all rows about a talk."""
        return self._speakers.get(_digest(video), video.presenters) if self._speakers else video.presenters

    @classmethod
    def of_rows(cls, videos: Iterable[Video]) -> References:
        """Read the rows of a table with one row for each speaker of a talk."""
        references = cls()
        found = references._speakers
        for video in videos:
            talk = _digest(video)
            if talk in found:
                found[talk] = tuple(dict.fromkeys(found[talk] + video.presenters))[:_FIELDS_MAX]
            elif len(found) < TALKS_MAX:
                found[talk] = video.presenters
        return references

    @classmethod
    def of_speakers(cls, records: Iterable[Any]) -> References:
        """Read the list of speakers that Sessionize and pretalx write beside the list of sessions."""
        found: dict[str, str] = {}
        references = cls(found)
        for record in records:
            keys, name = (keys_of(record), naming.name_of(record)) if isinstance(record, dict) else ([], None)
            if keys and name and references._people_known < PEOPLE_MAX:
                references._people_known += 1
                found |= dict.fromkeys(keys, name[:_NAME_CHARACTERS])
            elif keys and name:
                references._people_lost += 1
        return references

    @classmethod
    def of_django(cls, records: Iterable[Any]) -> References:
        """Read the records of a `dumpdata` file, whose models refer to each other by keys."""
        references = cls()
        fields_of: dict[str, Counter[str]] = {}
        for record in records:
            match record:
                case {"model": str() as model, "fields": dict() as fields}:
                    if len(fields_of) < _MODELS_MAX:
                        fields_of.setdefault(model, Counter()).update(
                            dict.fromkeys((it for it in list(fields)[:_FIELDS_MAX] if len(it) <= _KEY_CHARACTERS), 1)
                        )
                    references._learn(model, record.get("pk"), fields)
        for model, key, field, user in references._accounts:
            if name := references.of_field(field).people.get(user):
                references._by_model[model][key] = name
        references._accounts.clear()
        references._talks = _talk_models({model: recognise(names) for model, names in fields_of.items()})
        return references

    def _learn(self, model: str, key: object, fields: Mapping[str, Any]) -> None:
        """Remember what a record links, and its name or its user's record if it is a person."""
        is_person = _is_about_people(_name_of(model))
        name = naming.name_of(fields) if is_person else None
        account = next((it for it in _ACCOUNT_FIELDS if it in fields), None) if is_person and not name else None
        keys = keys_of({**fields, "id": key}) if name or account else []
        if "title" not in fields:
            self._link(fields, model, keys[0] if keys else None)
        if keys and self._people_known == PEOPLE_MAX:
            self._people_lost += 1
        elif keys:
            self._people_known += 1
            found = self._by_model.setdefault(model, {})
            if name:
                found |= dict.fromkeys(keys, name[:_NAME_CHARACTERS])
            elif account:
                user = naming.key_of(fields[account])[:_KEY_CHARACTERS]
                self._accounts += [(model, it, account, user) for it in keys]

    def _link(self, fields: Mapping[str, Any], model: str, person: str | None) -> None:
        """Remember the talks that a record links people to.

        Args:
            person: its own key if it is a person; None if its fields name the people.
        """
        keys = [(model, person)] if person is not None else [it for it in fields.items() if _is_about_people(it[0])]
        place = next((fields[name] for name in _ORDER_FIELDS if type(fields.get(name)) is int), 0)
        for name, value in fields.items() if keys else ():
            field = next((it for it in _TALK_FIELDS if it in name.casefold()), None)
            for talk in (value if isinstance(value, list) else [value]) if field else ():
                for people, key in keys[:_FIELDS_MAX]:
                    if field and type(talk) in {int, str} and type(key) in {int, str}:
                        if self._links_known == _LINKS_MAX:
                            self._links_lost += 1
                            continue
                        link = _Link(place, people[:_KEY_CHARACTERS], str(key)[:_KEY_CHARACTERS])
                        self._links.setdefault((field, str(talk)[:_KEY_CHARACTERS]), []).append(link)
                        self._links_known += 1


def _digest(video: Video) -> bytes:
    """Return what all rows about a talk have in common: the id and the title."""
    return hashlib.blake2b(f"{video.id}\0{video.title}".encode(), digest_size=16).digest()


def keys_of(person: Mapping[str, Any]) -> list[str]:
    """Return the keys by which a person may be referred to: the primary key, then the natural ones."""
    keys = (person[name] for name in _KEYS if name in person)
    return [str(key)[:_KEY_CHARACTERS] for key in keys if isinstance(key, str | int) and key != ""]


def _name_of(model: str) -> str:
    """Return a model's name without its app."""
    return model.rpartition(".")[2].casefold()


def _is_about_people(name: str) -> bool:
    return any(part in name.casefold() for part in _PEOPLE_MODELS)


def _talk_models(columns: Mapping[str, Mapping[str, str]]) -> frozenset[str] | None:
    """Return the models that are talks: those with a title and, if any has them, people, an address or a talk's name.

    None if no model has a title: then each record says for itself what it lacks.
    """
    titled = {
        model: found for model, found in columns.items() if "title" in found and not _is_about_people(_name_of(model))
    }
    for sign in ("presenters", "url", "description"):
        if signed := [model for model, found in titled.items() if sign in found]:
            named = [model for model in signed if any(part in _name_of(model) for part in _TALK_NAMES)]
            return frozenset(named or signed)
    return frozenset(titled) or None
