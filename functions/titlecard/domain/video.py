"""The two things that Titlecard is about: a video goes in, a talk comes out.

Pure data. Everything here is checked when it is made, so that the rest of the library never meets half a video.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from titlecard.domain.text import is_placeholder, one_line, plain

PARSER_VERSION = "3"
"""Part of every fingerprint: raise it when the local tier's answers change, and stored talks are worked out anew."""

ID_MAX_BYTES = 512
"""An id is part of a DynamoDB partition key, which holds 2,048 bytes (DynamoDB developer guide, "Constraints")."""

_Text = Annotated[str, StringConstraints(strip_whitespace=True)]


class Video(BaseModel):
    """One accepted row of a manifest, as its owner gave it. Its text is a stranger's: data, never instructions.

    `presenters` are the names that the row itself gives (a field for speakers), one name an item; empty where it gives
    none. Placeholders (`TBA`, `Various`) are no names and are left out, as is a name that comes twice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[_Text, Field(min_length=1)]
    title: Annotated[_Text, Field(min_length=1)]
    description: str = ""
    url: str | None = None
    channel: str | None = None
    published_at: str | None = None
    presenters: tuple[str, ...] = ()

    @field_validator("presenters")
    @classmethod
    def _people(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        people: dict[str, str] = {}
        for name in names:
            people.setdefault(plain(name), " ".join(one_line(name).split()))
        return tuple(name for key, name in people.items() if key and not is_placeholder(name))


class Tier(StrEnum):
    """Who answered.

    `given`: the row itself names the presenters. `local` costs no tokens either, `model` does; a `person` reviewed it,
    and has the last word.
    """

    GIVEN = "given"
    LOCAL = "local"
    MODEL = "model"
    PERSON = "person"


class Policy(StrEnum):
    """Who may answer: `auto` asks the model only where the local tier is not sure."""

    AUTO = "auto"
    LOCAL = "local"
    MODEL = "model"


class Tokens(BaseModel):
    """What was charged for a talk, in tokens: the usage where it is known, the bound where an answer was lost."""

    model_config = ConfigDict(frozen=True)

    input: int = 0
    output: int = 0


class Talk(BaseModel):
    """What parsing yields, with its provenance.

    `confidence` is the local tier's calibrated probability (0 to 1) that title and presenters are both right.
    `review` is None, or one of the reasons for which a person should look at the talk.
    """

    model_config = ConfigDict(frozen=True)

    title: str
    presenters: tuple[str, ...] = ()
    tier: Tier = Tier.LOCAL
    confidence: Annotated[float, Field(ge=0, le=1)] = 0.0
    review: str | None = None
    model: str | None = None
    tokens: Tokens = Tokens()
    cost_micro_usd: int = 0


def fingerprint(video: Video, *, model: str | None, prompt_version: str) -> str:
    """What an answer depends on, as 32 hexadecimal digits: the same fingerprint is never paid for twice.

    Args:
        video: the row.
        model: the model that could be asked, None where there is none. It is part of the fingerprint so that a weak
            local answer does not stand in for a model that has become available.
        prompt_version: the version of the prompt and of its schema; it counts only where there is a model.
    """
    prompt = prompt_version if model else ""
    parts = (video.title, video.description, PARSER_VERSION, model or "", prompt, *video.presenters)
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(
            len(data).to_bytes(8, "big") + data
        )  # with its length, so that no two lists of parts run together
    return digest.hexdigest()[:32]
