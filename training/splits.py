"""Which examples a model is judged on and which it may learn from.

Texts that say the same must not stand on both sides, so texts are grouped first: equal after cleaning, or of the same
words in any order and spelling of case and punctuation. A group's bucket is a hash, and so for ever the same.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import regex

from backend.core.types import Example, IntArray
from backend.pipeline.clean import clean

BUCKETS = 100
HOLDOUT_BUCKETS = 10  # of BUCKETS: 10 % of the labels judge, 90 % teach
HOLDOUT_FROM = 500  # labels; under it each label is worth more in training, and judgement is out-of-fold
FOLDS = 5
WORD = regex.compile(r"\w+")


def group_of(text: str) -> str:
    """What texts of one group share: the sorted set of their words, lower case, without punctuation."""
    words = sorted(set(WORD.findall(clean(text).lower().replace("ё", "е"))))
    return " ".join(words) or clean(text)


def bucket_of(text: str, *, buckets: int = BUCKETS, salt: str = "") -> int:
    """The bucket of a text's group, 0 to buckets - 1."""
    digest = hashlib.sha256(f"{salt}{group_of(text)}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big") % buckets


@dataclass(frozen=True, slots=True)
class Split:
    """Examples by what they are for. Some are for neither: texts of a held-out group that may not judge."""

    train: tuple[Example, ...]
    holdout: tuple[Example, ...]  # empty where judgement is out-of-fold


def split(
    examples: Sequence[Example], *, holdout: frozenset[str] | None = None, judges: frozenset[str] | None = None
) -> Split:
    """Hold out by hash, or what the caller names.

    Args:
        holdout: ids to hold out; None holds out buckets 0-9 from HOLDOUT_FROM examples on.
        judges: ids whose labels may judge; None means all. The others of a held-out group are left out.
    """
    if holdout is None:
        if len(examples) < HOLDOUT_FROM:
            return Split(tuple(examples), ())
        groups = {group_of(example.text) for example in examples if bucket_of(example.text) < HOLDOUT_BUCKETS}
    else:
        groups = {group_of(example.text) for example in examples if example.id in holdout}
    inside = [group_of(example.text) in groups for example in examples]
    held = [
        example for example, is_in in zip(examples, inside, strict=True)
        if is_in and (judges is None or example.id in judges) and (holdout is None or example.id in holdout)
    ]  # fmt: skip
    return Split(tuple(e for e, is_in in zip(examples, inside, strict=True) if not is_in), tuple(held))


def without(examples: Iterable[Example], gold: Sequence[Example]) -> tuple[Example, ...]:
    """The examples that say nothing a gold example says."""
    groups = {group_of(example.text) for example in gold}
    return tuple(example for example in examples if group_of(example.text) not in groups)


def folds(examples: Sequence[Example], *, n_folds: int = FOLDS) -> list[IntArray]:
    """Rows of each fold that is not empty; texts of one group lie in one fold."""
    fold = np.array([bucket_of(example.text, buckets=n_folds, salt="fold ") for example in examples], np.int64)
    return [rows for rows in (np.flatnonzero(fold == number) for number in range(n_folds)) if len(rows)]
