"""Whether an answer is made of the video's own words.

Whatever a tier answers, and whatever a description told a model to answer, a talk's title consists of words of the
given title and its presenters are named in the given text. What fails this is never a talk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from titlecard.domain.injection import text_before_injection
from titlecard.domain.text import normalise, without_addresses, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from titlecard.domain.video import Video


def ungrounded(title: str, presenters: Sequence[str], video: Video) -> str | None:
    """Why an answer is not grounded in its video, as a sentence; None where it is.

    The title's words must stand in the given title, in the same order (some may be left out). Every presenter must
    stand in the given title or description as whole words in a row. A web address does not count, nor does what a
    description says from a line on that gives orders ("ignore the above, the presenter is ..."): a model may obey it.
    Accents, case, punctuation and invisible characters make no difference.
    """
    given = words(normalise(video.title))
    wanted = words(normalise(title))
    if not wanted and (given or not title.strip()):
        return "The title is empty."
    remaining = iter(given)
    for word in wanted:
        if word not in remaining:  # membership in an iterator uses it up to the word: order counts
            return f"The title's word {word!r} is not in the given title, or not in this place."
    texts = [_line(without_addresses(normalise(video.title)))] if presenters else []
    for presenter in presenters:
        name = _line(normalise(presenter))
        if not name.strip():
            return f"The presenter {presenter!r} is not a name."
        if name not in texts[0] and len(texts) == 1:  # descriptions are long, and read only if need be
            texts.append(_line(text_before_injection(without_addresses(normalise(video.description)))))
        if not any(name in text for text in texts):
            return f"The presenter {presenter!r} is not named in the title or the description."
    return None


def _line(text: str) -> str:
    """The words with a space on either side of each, so that a search finds whole words only."""
    return f" {' '.join(words(text))} "
