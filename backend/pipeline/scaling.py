"""Platt scaling: how sure the best label is, out of how sure the summed weights are of it.

The weights say which label is best, and grow far too sure of it where few examples have told. Scaling moves the best
label's log odds along a line (Platt, Probabilistic Outputs for Support Vector Machines, 1999) and gives each text the
temperature at which its labels have just these odds, so that their order stays. The line is drawn from what was to be
expected (training/scaling.py) towards what answers on examples that had not been seen were worth.
"""

from dataclasses import dataclass

import numpy as np

from backend.core.types import BoolArray, FloatArray, IntArray

OWN_FROM, OWN_BY = 1.0, 2.0  # `experience`: from where on the weights' own log odds count, and by where they alone do
LEAST_SLOPE = 0.02  # a surer text never counts as less sure
CLIPPED = (-6.0, 14.0)  # log odds; beyond, a line says nothing
ORDINARY = 4.0  # spreads above unrelated texts: the best label's words, on the sets that lines were fitted on
MOST_EXAMPLES = 30  # of a label; more of them make nobody surer by themselves
COOLEST = 1e-3  # of a temperature's inverse: the order stays even where nothing is known
STEPS, FISHER_STEPS, NEAR_ENOUGH = 15, 30, 1e-4  # of Newton's method; of Fisher's; log odds
BIAS_WORTH, SLOPE_WORTH = 12.0, 200.0  # inverse variances of what sets that were left out had beside what was expected
BIAS_TOLD, SLOPE_TOLD = 0.15, 0.5  # and what each answer that the line was found with adds to them
CORRELATION = 0.1  # of whether two answers on a label are right


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
    own: float = 0.0  # share that the weights' own log odds have, which many examples have fitted
    answered: float = 0.0  # answers that the line was found with
    told_bias: float = 0.0  # by answers since then
    told_slope: float = 0.0

    def scaled(self, logits: FloatArray, names: FloatArray) -> FloatArray:
        """(n_texts, n_labels): the logits at the temperature of each text.

        Args:
            names: (n_texts, n_labels), how near each label's own words are, in spreads.
        """
        if logits.shape[1] < 2:
            return logits
        below = gaps(logits)
        stated, own = (_clipped_odds(below, by) for by in (1.0 / self.scale, 1.0))
        odds = self.odds(stated, own, best_affinity(logits, names))
        return np.asarray(logits * sharpness(below, odds)[:, None], np.float32)

    def odds(self, stated: FloatArray, own: FloatArray, near: FloatArray) -> FloatArray:
        """(n_texts,): log odds of the best label.

        Args:
            stated: (n_texts,), at the scale of stated weights.
            own: (n_texts,), as the weights have them.
            near: (n_texts,), as `best_affinity` gives it.
        """
        gained = self.known - self.trained
        bias = self.bias + self.told_bias + self.bias_growth * gained + self.affinity * faded(near, self.known)
        slope = max(self.slope + self.told_slope + self.slope_growth * gained, LEAST_SLOPE)
        return np.asarray((1.0 - self.own) * (bias + slope * stated) + self.own * own, np.float32)


@dataclass(frozen=True, slots=True)
class Answers:
    """What was said of examples that had not been seen, and whether it was right."""

    odds: FloatArray  # (n_examples,): log odds of the best label at the scale of stated weights
    own: FloatArray  # (n_examples,): as the weights have them
    near: FloatArray  # (n_examples,): how near its words are; see `best_affinity`
    outside: FloatArray  # (n_examples,): probability that no label is right
    right: BoolArray  # (n_examples,)
    counted: FloatArray  # (n_examples,): how much each tells; see `counted`


def counted(columns: IntArray) -> FloatArray:
    """(n_examples,): how much each example tells beside those of its label.

    Answers on one label go right or wrong together. With n of them and a correlation r, they tell as much as
    n / (1 + (n - 1) r) that have nothing to do with each other (the design effect of a cluster sample).
    """
    counts = np.bincount(columns)[columns] if len(columns) else np.zeros(0)
    return np.asarray(1.0 / (1.0 + np.maximum(counts - 1, 0) * CORRELATION), np.float32)


def fitted(answers: Answers, before: Scaling) -> tuple[float, float]:
    """Bias and slope of highest penalised likelihood, drawn towards those of `before` (Fisher scoring)."""
    X = np.stack([np.ones(len(answers.odds)), answers.odds], axis=1).astype(np.float64)
    named = before.affinity * faded(answers.near, before.trained).astype(np.float64)
    inside, counts = 1.0 - answers.outside.astype(np.float64), answers.counted.astype(np.float64)
    expected = np.exp(-before.trained)  # much is expected only where little is known
    told = np.array([BIAS_TOLD, SLOPE_TOLD]) * before.answered
    worth = np.array([BIAS_WORTH, SLOPE_WORTH]) * expected + told
    start = np.array([before.bias, before.slope])
    line = start
    for _ in range(FISHER_STEPS):
        best = 1.0 / (1.0 + np.exp(-np.clip(X @ line + named, -30, 30)))
        said = np.clip(best * inside, 1e-9, 1 - 1e-9)
        moves = inside * best * (1 - best)  # of what is said, a unit of log odds
        weight = counts * moves / (said * (1 - said))
        slope = X.T @ (weight * (answers.right - said)) - worth * (line - start)
        step = np.linalg.solve((X * (weight * moves)[:, None]).T @ X + np.diag(worth), slope)
        line = line + step
        if np.abs(step).max() < NEAR_ENOUGH:
            break
    return round(float(line[0]), 6), round(max(float(line[1]), LEAST_SLOPE), 6)


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
    return _clipped_odds(gaps(logits), 1.0)


def _clipped_odds(below: FloatArray, by: float) -> FloatArray:
    odds, _ = _odds(below, np.full(len(below), by, np.float32))
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
