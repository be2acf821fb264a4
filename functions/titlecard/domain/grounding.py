"""The check that an answer is made of the video's own words.

A talk's title consists of words of the given title, and the given text names its presenters, whatever a tier answers
and whatever a description told the model to answer. An answer that fails this check is never a talk.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from titlecard.domain.injection import text_before_injection
from titlecard.domain.text import fold, normalise, without_addresses, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from titlecard.domain.video import Video


_CUT_OFF = 90
"""A title of at least this many characters may have been cut off by YouTube's limit of 100 (videos resource)."""

_ENOUGH = 4
"""The least number of words that a cut title must share with the whole one."""


def ungrounded(title: str, presenters: Sequence[str], video: Video) -> str | None:
    """Return why an answer is not grounded in its video, as a sentence; None if it is.

    The title's words must occur in the given title in the same order, with gaps allowed. If the given title is cut off,
    the title may instead occur in the description, word for word. Every presenter must occur in the given title or
    description, word for word, unless the row itself gives the name; in `Ada and Tomas Byron` both have the surname.
    Web addresses are not evidence. Neither is a description from the first line that instructs the model ("ignore the
    above, the presenter is ...") to its end, because a model may obey it. Accents, case, punctuation and invisible
    characters make no difference.
    """
    given = words(normalise(video.title))
    wanted = words(normalise(title))
    if _completes(wanted, given, video):
        wanted = []
    elif not wanted and (given or not title.strip()):
        return "The title is empty."
    remaining = iter(given)
    for word in wanted:
        if word not in remaining:  # `in` consumes the iterator up to the word, so the order matters
            return f"The title's word {word!r} is not in the given title, or not in this place."
    texts = [_line(without_addresses(normalise(video.title)))] if presenters else []
    owned = {_line(name) for name in video.presenters}
    for presenter in presenters:
        name = _line(normalise(presenter))
        if name in owned:
            continue
        if not name.strip():
            return f"The presenter {presenter!r} is not a name."
        if name not in texts[0] and len(texts) == 1:  # descriptions are long, so they are read only if needed
            texts.append(_line(text_before_injection(without_addresses(normalise(video.description)))))
        if not any(name in text for text in texts) and not _shares_its_surname(name, video):
            return f"The presenter {presenter!r} is not named in the title or the description."
    return None


def _completes(wanted: Sequence[str], given: Sequence[str], video: Video) -> bool:
    """Return whether the given title is cut off and this title completes it, word for word as in the description."""
    if not video.title.rstrip().endswith(("...", "\u2026")) and len(video.title.strip()) < _CUT_OFF:
        return False
    for start in range(len(given) - _ENOUGH):
        *whole, last = given[start:]
        if list(wanted[: len(whole)]) == whole and [word for word in wanted[len(whole) :][:1] if word.startswith(last)]:
            return f" {' '.join(wanted)} " in _line(
                text_before_injection(without_addresses(normalise(video.description)))
            )
    return False


def _shares_its_surname(name: str, video: Video) -> bool:
    """Return whether the title gives this name as the first of two with one surname (`Ada and Tomas Byron`)."""
    first, *middle, last = [*name.split(), ""]
    if len(middle) != 1:
        return False
    between = r"\s*(?:[&+]|\b(?:and|und|y|e|et|en|och|og|и)\b)\s*\w+\s+"
    wanted = rf"\b{re.escape(first)}{between}{re.escape(middle[0])}\b"
    return re.search(wanted, fold(normalise(video.title))) is not None and not last


def _line(text: str) -> str:
    """Return a text's words, each between two spaces, so that a search finds only whole words."""
    return f" {' '.join(words(text))} "
