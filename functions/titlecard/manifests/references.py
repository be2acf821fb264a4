"""People listed elsewhere in a file: sessions refer by keys to speakers, who come after all sessions.

A file of such a form is read twice: once for the people, once for its rows.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from titlecard.manifests import people as naming
from titlecard.manifests.names import recognise

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PEOPLE_MAX = 50_000
"""The most people of one file; later people stay without a name."""

_KEY_CHARACTERS, _NAME_CHARACTERS = 80, 100
"""The most characters kept of a key and of a name, so that all people of a file take some tens of megabytes."""

_MODELS_MAX, _FIELDS_MAX = 300, 200
_PEOPLE_MODELS = ("speaker", "presenter", "person", "people", "author", "user", "profile", "participant", "panel")


class References:
    """The people of a file, and which of its models are talks.

    Attributes:
        people: names by key.
    """

    def __init__(self, people: Mapping[str, str] | None = None) -> None:
        self.people: Mapping[str, str] = people or {}
        self._by_model: dict[str, dict[str, str]] = {}
        self._talks: frozenset[str] | None = None

    def may_be_talk(self, model: str) -> bool:
        """Return whether the records of a Django model may be talks."""
        return self._talks is None or model in self._talks

    def of_field(self, name: str) -> References:
        """Return the people that a Django field refers to: those of the model with the field's name."""
        stem = name.casefold().rstrip("s")
        alike = [it for it in self._by_model if stem and stem in it.rpartition(".")[2].casefold()]
        models = alike or list(self._by_model)
        return References(self._by_model[models[0]] if len(models) == 1 else None)

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
        count = 0
        for record in records:
            match record:
                case {"model": str() as model, "fields": dict() as fields}:
                    if len(fields_of) < _MODELS_MAX:
                        fields_of.setdefault(model, Counter()).update(
                            dict.fromkeys((it for it in list(fields)[:_FIELDS_MAX] if len(it) <= _KEY_CHARACTERS), 1)
                        )
                    if any(part in model.rpartition(".")[2].casefold() for part in _PEOPLE_MODELS):
                        name, key = naming.name_of(fields), record.get("pk")
                        if name and isinstance(key, str | int) and count < PEOPLE_MAX:
                            found = references._by_model.setdefault(model, {})
                            found[str(key)[:_KEY_CHARACTERS]] = name[:_NAME_CHARACTERS]
                            count += 1
        references._talks = _talk_models({model: recognise(names) for model, names in fields_of.items()})
        return references


def _talk_models(columns: Mapping[str, Mapping[str, str]]) -> frozenset[str] | None:
    """Return the models that are talks: those with a title and, if any has them, with people or an address.

    None if no model has a title: then each record says for itself what it lacks.
    """
    titled = {
        model: found
        for model, found in columns.items()
        if "title" in found and not any(part in model.rpartition(".")[2].casefold() for part in _PEOPLE_MODELS)
    }
    for sign in ("presenters", "url", "description"):
        if signed := [model for model, found in titled.items() if sign in found]:
            return frozenset(signed)
    return frozenset(titled) or None
