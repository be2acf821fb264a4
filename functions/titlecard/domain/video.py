"""Videos and talks: the input and the output of Titlecard.

Pure data. The models validate their fields, so that the rest of the library never meets an incomplete video.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from titlecard.domain.text import is_placeholder, one_line, plain

PARSER_VERSION = "4"
"""The local tier's version, part of every fingerprint. Raise it when its answers change, to parse videos again."""

ID_MAX_BYTES = 512
"""The longest id, in bytes: it is part of a DynamoDB partition key, which holds 2,048 (DynamoDB developer guide,
"Constraints")."""

_Text = Annotated[str, StringConstraints(strip_whitespace=True)]


class Video(BaseModel):
    """One accepted row of a manifest, as its owner gave it. Its text comes from strangers: data, never instructions.

    `event` is the conference, playlist or series that the row names: rows of one event follow one template.
    `presenters` are the names that the row itself gives in a field for speakers, one per item; empty if it gives none.
    Placeholders (`TBA`, `Various`) and repeated names are left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[_Text, Field(min_length=1)]
    title: Annotated[_Text, Field(min_length=1)]
    description: str = ""
    url: str | None = None
    channel: str | None = None
    published_at: str | None = None
    event: str | None = None
    presenters: tuple[str, ...] = ()

    @field_validator("presenters")
    @classmethod
    def _people(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        people: dict[str, str] = {}
        for name in names:
            people.setdefault(plain(name), " ".join(one_line(name).split()))
        return tuple(name for key, name in people.items() if key and not is_placeholder(name))


class Tier(StrEnum):
    """The source of a talk.

    `given`: the row itself names the presenters. `local`: the local tier. `model`: the model tier, the only one that
    costs tokens. `person`: a person's answer, which overrides all others.
    """

    GIVEN = "given"
    LOCAL = "local"
    MODEL = "model"
    PERSON = "person"


class Policy(StrEnum):
    """The tiers that may answer; `auto` asks the model only if the local tier is not sure."""

    AUTO = "auto"
    LOCAL = "local"
    MODEL = "model"


class Tokens(BaseModel):
    """The tokens charged for a talk: the usage if it is known, the bound if an answer was lost."""

    model_config = ConfigDict(frozen=True)

    input: int = 0
    output: int = 0


class Talk(BaseModel):
    """The result of parsing a video, with its provenance.

    `confidence` is the local tier's calibrated probability (0 to 1) that title and presenters are both right.
    `review` is the reason why a person should check the talk, None if there is none.
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
    """Return a hash of everything that an answer depends on, as 32 hexadecimal digits.

    Args:
        model: the model that may be asked, None if there is none. It is part of the fingerprint so that a weak local
            answer does not replace the answer of a model that has become available.
        prompt_version: the version of the prompt and of its schema; used only if there is a model.
    """
    prompt = prompt_version if model else ""
    parts = (video.title, video.description, PARSER_VERSION, model or "", prompt, *video.presenters)
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)  # the length prefix keeps different lists of parts distinct
    return digest.hexdigest()[:32]
