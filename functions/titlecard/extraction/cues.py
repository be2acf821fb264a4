"""Cues: what the words around a name say about the person, who presents or is only mentioned.

The models learn how far to trust these cues. The cues only group words of many languages and trades into a few classes,
so that what training saw of `explains` applies to `demonstrates`, which it may never have seen.
"""

from __future__ import annotations

import re

from titlecard.domain.text import fold

PRESENTS, SPOKEN_OF, NOTHING = "presents", "spoken of", "-"
"""The classes of a cue."""

_LOOKED_AT = 40
"""The number of characters before and after a name that are searched for cues."""

_BEFORE_A_PRESENTER = re.compile(
    r"\b(?:speakers?|presenters?|presented by|presents?|talk by|keynote by|panell?ists?|instructors?|featuring"
    r"|ponentes?|disertantes?|expositor\w*|palestrantes?|orat(?:eur|rice)s?|conferenci\w+|sprecher\w*|referent\w*"
    r"|vortrag von|presentation de|charla de|por|par|講者|スピーカー|докладчик|спикер)\W*$"
)
_BEFORE_A_HOST = re.compile(
    r"\b(?:moderat(?:ed|ion) (?:by|von)|moderators?|moderador\w*|moderat(?:eur|rice)|moderiert von|hosted by|hosts?"
    r"|chaired by|(?:session )?chair(?:person|man|woman)?|facilitated by|facilitators?|introduced by|interviewed by"
    r"|organi[sz]ed by|organi[sz]ers?|mc|m\.c\.|emcee)\W*$"
)
_BEFORE_OTHERS = re.compile(
    r"\b(?:thanks to|thank|edited by|produced by|filmed by|recorded by|video by|music by|camera|audio|introduced by"
    r"|inspired by|based on|book by|article by|post by|paper by|quote by|written by|developed by|created by|built by"
    r"|invented by|proposed by|designed by|coined by|sponsored by|organi[sz]ed by|provided by|supported by|works? of"
    r"|words of|ideas? of|unlike|like|follow|called|named|using|via|in \d{4},?|philosopher|creator)\W*$"
)
_AFTER_A_PRESENTER = re.compile(
    r"\W*(?:will|is going to|explains?|shows?|shares?|presents?|talks?|discuss\w*|tells?|gives?|gave|demonstrates?"
    r"|introduces?|walks?|describes?|explores?|provides?|covers?|leads? you|invites?|looks? at|outlines?)\b"
)
_AFTER_OTHERS = re.compile(
    r"\W*(?:s|said|says|wrote|writes|once|coined|developed|invented|proposed|proclaimed|started|created|published"
    r"|argued|argues|called|famously|noted|has an? (?:great )?(?:essay|book|post|article)|for (?:the|his|her|their)"
    r"|in (?:the )?\d{4}s?)\b"
)
_LABEL_OF_TOPICS = re.compile(r"\W*(?:key ?words?|tags|topics|palabras[ -]clave|mots[ -]cles|schlag\w+)\W*:")
_AND_SO_ON = re.compile(r"\W*(?:etc|usw)\b")
_COMPANY = re.compile(
    r"(?: [A-Z]\w+){0,2} (?:Research|Universit\w+|Institute|Foundation|Labs?|Center|Centre|College|School|Inc|LLC|Ltd"
    r"|GmbH|Group|Hall|Room|Theatre|Theater|Street|Avenue|Conference|Award|Prize)\b"
)


def before(text: str) -> str:
    """Return the class of the words before a name; `text` is the line up to the name."""
    folded = fold(text[-_LOOKED_AT:])
    if _BEFORE_A_PRESENTER.search(folded):
        return PRESENTS
    return SPOKEN_OF if _BEFORE_OTHERS.search(folded) else NOTHING


def of_a_host(text: str) -> bool:
    """Return whether the words before a name say that this person hosts other people's talks."""
    return _BEFORE_A_HOST.search(fold(text[-_LOOKED_AT:])) is not None


def after(text: str) -> str:
    """Return the class of the words after a name; `text` is the line after it."""
    folded = fold(text[:_LOOKED_AT])
    if _AFTER_A_PRESENTER.match(folded):
        return PRESENTS
    return SPOKEN_OF if _AFTER_OTHERS.match(folded) else NOTHING


def of_examples(before: str, after: str) -> bool:
    """Return whether a name is in a list of topics (`Keywords: ...`), or ends an open list (`..., etc`)."""
    return bool(_LABEL_OF_TOPICS.match(fold(before[:_LOOKED_AT])) or _AND_SO_ON.match(fold(after[:_LOOKED_AT])))


def of_a_company(text: str) -> bool:
    """Return whether the text after a possible name makes it the name of a company, a school or a place."""
    return _COMPANY.match(text[:_LOOKED_AT]) is not None
