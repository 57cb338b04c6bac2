"""Descriptions of labels, and of what tells each from its nearest labels, in the words of a local language model.

Decides which examples a model is shown and which labels are near; what it writes is for a person to edit and approve.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from backend.core.descriptions import Description
from backend.core.types import Example, FloatArray, IntArray, Label, LabelSpace
from backend.pipeline.clean import clean
from backend.pipeline.question import one_line, spoken
from backend.pipeline.retrieve import Embedder, embed_labels
from training.typical import typical
from training.wording import Wording, Wordings

K_OF_PAIR = 2  # of each of two labels: a small model loses its way in more
N_NEAREST = 2  # labels that each is told apart from
MOST = 50  # examples of a label that are looked at, drawn evenly: embedding them is what takes time
SHOWN_CHARS = 120  # of an example: its subject stands at its beginning
HINT_CHARS = 300  # of a hint


class Writer(Protocol):
    """A model that goes on with a text; see backend.models.writer."""

    @property
    def name(self) -> str: ...
    def write(self, before: str, asked: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Subject:
    """What is known of a label."""

    label: Label
    examples: tuple[str, ...]  # the most typical first; one line each
    vector: FloatArray  # (dim,), unit length: between its own words and its examples

    @property
    def name(self) -> str:
        return spoken(self.label.name)

    @property
    def hint(self) -> str:
        return one_line(self.label.hint)[:HINT_CHARS]

    @property
    def shown(self) -> tuple[str, ...]:
        """All that a model may know of it."""
        return (self.name, self.hint, *self.examples)


@dataclass(frozen=True, slots=True)
class Sentence:
    """What a model wrote about one label, or about what tells it from another."""

    about: str  # the label's value
    other: str  # the other label's value; empty where it is about the label alone
    text: str
    unfounded: tuple[str, ...]  # its words that the model was not shown


@dataclass(frozen=True)
class Describer:
    """Who writes about labels, and how it is asked."""

    writer: Writer
    wordings: Wordings

    @property
    def made_by(self) -> dict[str, str | int]:
        return {"model": self.writer.name, "prompt": self.wordings.hash}

    def sentences(self, subjects: Sequence[Subject]) -> Iterator[Sentence]:
        """1 + N_NEAREST a label, first those about one label: what all prompts of a kind share is evaluated once."""
        for subject in subjects:
            yield self.meaning(subject)
        for subject, rows in zip(subjects, nearest(subjects), strict=True):
            for other in (subjects[row] for row in rows):
                yield self.difference(subject, other)

    def meaning(self, subject: Subject) -> Sentence:
        """What texts with a label want."""
        wording = self.wordings.describe
        return self._sentence(wording, wording.asked(subject.name, subject.hint, subject.examples), subject)

    def difference(self, subject: Subject, other: Subject) -> Sentence:
        """What tells a label, the first, from another one, the second."""
        wording = self.wordings.differ
        first, second = ((each.name, each.examples[:K_OF_PAIR]) for each in (subject, other))
        return self._sentence(wording, wording.asked(*first, *second), subject, other)

    def _sentence(self, wording: Wording, asked: str, *subjects: Subject) -> Sentence:
        text = self.writer.write(wording.before, asked)
        shown = [line for subject in subjects for line in subject.shown]
        about, other = [*(subject.label.value for subject in subjects), ""][:2]
        return Sentence(about, other, text, tuple(self.wordings.unfounded(text, shown, wording)))


def descriptions_of(sentences: Sequence[Sentence], *, made_by: dict[str, str | int]) -> list[Description]:
    """The sentences of each label in one place, in the order in which labels come first."""
    by_label: dict[str, list[Sentence]] = defaultdict(list)
    for sentence in sentences:
        by_label[sentence.about].append(sentence)
    return [
        Description(
            label,
            next((sentence.text for sentence in own if not sentence.other), ""),
            {sentence.other: sentence.text for sentence in own if sentence.other},
            tuple(dict.fromkeys(word for sentence in own for word in sentence.unfounded)),
            made_by=made_by,
        )
        for label, own in by_label.items()
    ]


def subjects_of(
    space: LabelSpace, examples: Sequence[Example], embedder: Embedder, *, k: int, seed: int = 0
) -> list[Subject]:
    """What is known of each label, in order.

    Args:
        k: examples a label, nearest to its centroid and unlike one another; of more than ten the prompt gets too long.
    """
    words = _units(embed_labels(space, embedder)[:, : embedder.lead])
    by_label: dict[str, list[str]] = defaultdict(list)
    for row in np.random.default_rng(seed).permutation(len(examples)).tolist():
        own = by_label[examples[row].label]
        if len(own) < MOST:
            own.append(one_line(clean(examples[row].text)))
    return [
        _subject(label, by_label[label.value] if k else [], vector, embedder, k)
        for label, vector in zip(space.labels, words, strict=True)
    ]


def _subject(label: Label, texts: Sequence[str], words: FloatArray, embedder: Embedder, k: int) -> Subject:
    if not texts:
        return Subject(label, (), words)
    units = _units(embedder.embed(texts)[:, : embedder.lead])
    chosen = tuple(text[:SHOWN_CHARS] for text in typical(texts, units, k=k))
    return Subject(label, chosen, _units(words + _units(units.mean(axis=0))))


def nearest(subjects: Sequence[Subject]) -> list[IntArray]:
    """Rows of the N_NEAREST other labels of each, the nearest first."""
    if not subjects:
        return []
    vectors = np.stack([subject.vector for subject in subjects])
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    n = min(N_NEAREST, len(subjects) - 1)
    return [np.argsort(-row, kind="stable")[:n] for row in cosines]


def _units(vectors: FloatArray) -> FloatArray:
    units: FloatArray = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
    return units
