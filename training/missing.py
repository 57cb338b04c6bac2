"""Labels that may be missing: texts that resemble none of the labels, in groups that resemble one another.

Average linkage over the embedder's vectors: two groups become one while their texts are, on the average, nearer to each
other than unrelated texts are by a stated number of spreads. Words that stand in a group more often than in the others
say what it is about; its most central texts show it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from backend.core.artefacts import Manifest
from backend.core.types import Decision, FloatArray, IntArray
from backend.models.kernel import ANALYZERS
from backend.pipeline.fuse import UNASKED_SHARE
from backend.pipeline.retrieve import Embedder
from training.out_of_fold import unseen_of
from training.typical import typical

WORTH_A_LOOK = 5.0  # times the odds that are assumed of any text: few are more, and groups show which ones are
SHARE_BEYOND = 0.01  # of the accepted examples that resemble the labels as little, or less
ENOUGH = 30  # of them, from which that can be told
NEAR = 4.0  # spreads above unrelated texts
FEWEST = 3  # texts that make a group
MOST = 5_000  # texts compared with one another, whose square is held in memory (100 MB); more are drawn from
N_TYPICAL, N_WORDS = 3, 3


@dataclass(frozen=True, slots=True)
class Group:
    """Texts that may share a label that is missing."""

    words: tuple[str, ...]  # that tell it from the other groups
    typical: tuple[str, ...]  # texts, the most central first; see training.typical
    rows: tuple[int, ...]  # of all its texts


def limit_of(manifest: Manifest, folder: Path) -> float:
    """From which p(out of scope) on a text counts as one that resembles no label, for a model.

    What such a probability means is a matter of the share of such texts that the model assumes, and of how clear
    its labels are: so it is measured by that share, and by what the model says about accepted examples of labels
    that it has not seen. The lower of the two: where labels are clear, even 0.01 is rare.
    """
    assumed = float(manifest.parameters.get("assumed_share", UNASKED_SHARE))
    odds = WORTH_A_LOOK * assumed / (1.0 - assumed)
    said = unseen_of(folder, but=manifest.labels.oos_value)
    beyond = float(np.quantile(said, 1.0 - SHARE_BEYOND, method="higher")) if len(said) >= ENOUGH else 1.0
    return min(odds / (1.0 + odds), beyond)


def outside(decisions: Sequence[Decision], limit: float) -> IntArray:
    """Rows of the texts that resemble no label; `limit` as `limit_of` has it."""
    return np.flatnonzero([decision.p_out_of_scope > limit for decision in decisions])


def groups_of(texts: Sequence[str], vectors: FloatArray, embedder: Embedder, *, seed: int = 0) -> list[Group]:
    """Groups of at least FEWEST texts, the largest first.

    Args:
        texts: cleaned.
        vectors: (n_texts, dim), of the texts.
    """
    from sklearn.cluster import AgglomerativeClustering  # a second that only who groups pays

    drawn = np.sort(np.random.default_rng(seed).permutation(len(texts))[:MOST])
    if len(drawn) < FEWEST:
        return []
    lead = vectors[drawn, : embedder.lead]
    units = lead / np.maximum(np.linalg.norm(lead, axis=1, keepdims=True), 1e-9)
    apart = 1.0 - (embedder.floor + NEAR * embedder.spread)
    clusters = AgglomerativeClustering(None, metric="precomputed", linkage="average", distance_threshold=apart)
    numbers = clusters.fit_predict(1.0 - units @ units.T)
    members = [np.flatnonzero(numbers == number) for number in range(numbers.max() + 1)]
    members = sorted((rows for rows in members if len(rows) >= FEWEST), key=len, reverse=True)
    said = [[texts[drawn[row]] for row in rows] for rows in members]
    return [
        Group(words, typical(own, units[rows], k=N_TYPICAL), tuple(drawn[rows].tolist()))
        for rows, own, words in zip(members, said, _words(said), strict=True)
    ]


def _words(groups: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """The words of each group by how much more often they stand in it than in the others (class-based TF-IDF)."""
    from sklearn.feature_extraction.text import CountVectorizer

    if not groups:
        return []
    words = {name: ANALYZERS["words"][name] for name in ("tokenizer", "token_pattern")}
    counter = CountVectorizer(**words, binary=True)
    of = np.repeat(np.arange(len(groups)), [len(texts) for texts in groups])
    stands = csr_matrix(counter.fit_transform([*(text for texts in groups for text in texts), "a"]))[:-1]
    vocabulary = counter.get_feature_names_out()
    shares = np.vstack([np.asarray(stands[of == number].mean(axis=0)).ravel() for number in range(len(groups))])
    weights = shares * np.log1p(1.0 / np.maximum(shares.mean(axis=0), 1e-9))
    best = np.argsort(-weights, axis=1, kind="stable")[:, :N_WORDS]
    return [tuple(vocabulary[at] for at in row if shares[number, at] > 0) for number, row in enumerate(best)]
