"""Platt scaling: how sure the best label is, out of how sure the summed weights are of it.

The weights say which label is best, and grow far too sure of it where few examples have told. Scaling moves the best
label's log odds along a line (Platt, Probabilistic Outputs for Support Vector Machines, 1999) and gives each text the
temperature at which its labels have just these odds, so that their order stays. training/scaling.py finds the line.
"""

from dataclasses import dataclass

import numpy as np

from backend.core.types import FloatArray, IntArray

LEAST_SLOPE = 0.02  # a surer text never counts as less sure
CLIPPED = (-6.0, 14.0)  # log odds; beyond, a line says nothing
ORDINARY = 4.0  # spreads above unrelated texts: the best label's words, on the sets that lines were fitted on
MOST_EXAMPLES = 30  # of a label; more of them make nobody surer by themselves
COOLEST = 1e-3  # of a temperature's inverse: the order stays even where nothing is known
STEPS, NEAR_ENOUGH = 15, 1e-4  # of Newton's method; log odds


@dataclass(frozen=True, slots=True)
class Scaling:
    """A line from log odds to log odds, and how it moves as examples come."""

    bias: float = 0.0
    slope: float = 1.0
    scale: float = 1.0  # of the logits, beside what they are at stated weights
    affinity: float = 0.0  # of the bias, per spread that the best label's words are nearer than ORDINARY
    bias_growth: float = 0.0  # per unit of `experience`
    slope_growth: float = 0.0
    trained: float = 0.0  # `experience` that the line was found with
    known: float = 0.0  # that there is by now

    def scaled(self, logits: FloatArray, names: FloatArray) -> FloatArray:
        """(n_texts, n_labels): the logits at the temperature of each text.

        Args:
            names: (n_texts, n_labels), how near each label's own words are, in spreads.
        """
        if logits.shape[1] < 2:
            return logits
        below = gaps(logits)
        stated = np.clip(_odds(below, np.full(len(below), 1.0 / self.scale, np.float32))[0], *CLIPPED)
        odds = self.odds(stated, best_affinity(logits, names))
        return np.asarray(logits * sharpness(below, odds)[:, None], np.float32)

    def odds(self, stated: FloatArray, near: FloatArray) -> FloatArray:
        """(n_texts,): log odds of the best label.

        Args:
            stated: (n_texts,), as the weights have them.
            near: (n_texts,), as `best_affinity` gives it.
        """
        gained = self.known - self.trained
        bias = self.bias + self.bias_growth * gained + self.affinity * faded(near, self.known)
        slope = max(self.slope + self.slope_growth * gained, LEAST_SLOPE)
        return np.asarray(bias + slope * stated, np.float32)


def best_affinity(logits: FloatArray, names: FloatArray) -> FloatArray:
    """(n_texts,): by how many spreads the best label's own words are nearer than ORDINARY."""
    best = logits.argmax(axis=1)[:, None]
    return np.asarray(np.take_along_axis(names, best, axis=1)[:, 0] - ORDINARY, np.float32)


def faded(near: FloatArray, known: float) -> FloatArray:
    """What names say of a text, less and less as experience comes."""
    return np.asarray(near * np.exp(-known), np.float32)


def experience(columns: IntArray, n_labels: int) -> float:
    """Mean of log(1 + examples of a label) over the labels: many examples of one of them tell nothing of the others.

    Args:
        columns: (n_examples,), of their labels; the last column is out-of-scope.
    """
    counts = np.bincount(columns, minlength=n_labels)[:n_labels]
    return float(np.log1p(np.minimum(counts, MOST_EXAMPLES)).mean()) if n_labels else 0.0


def gaps(logits: FloatArray) -> FloatArray:
    """(n_texts, n_labels - 1), at least 0: by how much each other label stands below the best one."""
    ordered = np.partition(logits, -1, axis=1)
    return np.asarray(ordered[:, -1:] - ordered[:, :-1], np.float32)


def best_odds(logits: FloatArray) -> FloatArray:
    """(n_texts,): log odds of the best of at least two labels against all others, clipped."""
    odds, _ = _odds(gaps(logits), np.ones(len(logits), np.float32))
    return np.asarray(np.clip(odds, *CLIPPED), np.float32)


def sharpness(below: FloatArray, odds: FloatArray) -> FloatArray:
    """(n_texts,): what logits are multiplied by so that the best label has these log odds.

    The log odds rise with the factor and are concave in it: Newton's steps from 0 come ever nearer and never go too
    far.

    Args:
        below: as `gaps` gives them.
        odds: (n_texts,).
    """
    by = np.zeros(len(below), np.float32)
    for _ in range(STEPS):
        found, slope = _odds(below, by)
        missing = odds - found
        if (missing < NEAR_ENOUGH).all():
            break
        by = by + np.maximum(missing, 0.0) / np.maximum(slope, COOLEST)
    return np.asarray(np.maximum(by, COOLEST), np.float32)


def _odds(below: FloatArray, by: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The best label's log odds where logits are multiplied by `by`, and their slope in it; (n_texts,) each."""
    nearest = below.min(axis=1)
    beyond = below - nearest[:, None]
    shares = np.exp(-beyond * by[:, None])
    total = shares.sum(axis=1)
    slope = nearest + np.einsum("tl,tl->t", shares, beyond) / total
    return np.asarray(nearest * by - np.log(total), np.float32), np.asarray(slope, np.float32)
