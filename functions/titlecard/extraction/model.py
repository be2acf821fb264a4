"""The weights of the local tier: one compressed data file beside this module, read once, on first use."""

from __future__ import annotations

import gzip
import json
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from titlecard.extraction.crf import Crf
from titlecard.extraction.names import Lexicon

if TYPE_CHECKING:
    from collections.abc import Mapping

WEIGHTS = __file__.removesuffix("model.py") + "weights.json.gz"
"""The weights' file, written by `infra/training/train.py`; `card.json` beside it has the training data and scores."""


class Model(NamedTuple):
    """The result of training.

    `confidence` labels a whole answer right or wrong. `thresholds` holds, for each source of an answer, the lowest
    confidence of a sure answer.
    """

    lexicon: Lexicon
    titles: Crf
    mentions: Crf
    confidence: Crf
    thresholds: dict[str, float]

    def to_bytes(self) -> bytes:
        """Return the compressed file; the same model always gives the same bytes."""
        data = {
            "tokens": _grouped(self.lexicon.tokens),
            "endings": _grouped(self.lexicon.endings),
            "given": " ".join(sorted(self.lexicon.given)),
            "titles": _packed(self.titles),
            "mentions": _packed(self.mentions),
            "confidence": _packed(self.confidence),
            "thresholds": self.thresholds,
        }
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        return gzip.compress(text.encode(), compresslevel=9, mtime=0)

    @classmethod
    def from_bytes(cls, data: bytes) -> Model:
        """Return the model that `to_bytes` wrote."""
        found = json.loads(gzip.decompress(data))
        lexicon = Lexicon(_flat(found["tokens"]), _flat(found["endings"]), frozenset(found["given"].split(" ")))
        titles, mentions, confidence = (_unpacked(found[name]) for name in ("titles", "mentions", "confidence"))
        return cls(lexicon, titles, mentions, confidence, found["thresholds"])


@cache
def shipped() -> Model:
    """Return the model that this version of the library ships."""
    with open(WEIGHTS, "rb") as file:  # noqa: PTH123 -- pathlib would take a fifteenth of the local tier's import time
        return Model.from_bytes(file.read())


def _grouped(scores: Mapping[str, int]) -> dict[str, str]:
    """Group tokens by score, which is far smaller than a score for each token."""
    groups: dict[int, list[str]] = {}
    for token in sorted(scores):
        groups.setdefault(scores[token], []).append(token)
    return {str(score): " ".join(tokens) for score, tokens in sorted(groups.items())}


def _flat(groups: dict[str, str]) -> dict[str, int]:
    flat: dict[str, int] = {}
    for score, tokens in groups.items():
        flat.update(dict.fromkeys(tokens.split(" "), int(score)))
    return flat


def _packed(crf: Crf) -> dict[str, Any]:
    names = sorted(crf.features)
    weights = [weight for name in names for weight in crf.features[name]]
    return {
        "labels": crf.labels,
        "names": "\n".join(names),
        "weights": weights,
        "transitions": crf.transitions,
        "edges": crf.edges,
    }


def _unpacked(data: dict[str, Any]) -> Crf:
    size, weights = len(data["labels"]), data["weights"]
    names = data["names"].split("\n") if weights else []
    rows = (weights[at : at + size] for at in range(0, len(weights), size))
    return Crf(tuple(data["labels"]), dict(zip(names, rows, strict=True)), data["transitions"], data.get("edges", {}))
