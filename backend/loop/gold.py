"""Gold rows of a project: labelled apart from Label Studio, they judge each version and carry its promise.

They never train: what says the same in the project's own labels is left out of training and of every index.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from backend.core.artefacts import write_atomically
from backend.core.errors import BadInputError
from backend.core.types import Example
from backend.loop.desk import ProjectDesk
from training import splits
from training.evaluate import Outcome
from training.judge import GOLD, read_judged

GOLD_FILE = "gold.jsonl"
HELD = -1  # the bucket of what a gold row says: in the index of no model


def keep_gold(work: ProjectDesk, examples: Sequence[Example]) -> None:
    """Make these the project's gold rows in place of those before; none of them takes them away.

    Raises:
        BadInputError: a label is none of the label config's.
        StateError: the state folder takes no writes.
    """
    names = work.control.labels
    unknown = sorted({each.label for each in examples if not names.value_of(each.label)})
    if unknown:
        raise BadInputError(
            f"a gold row's label must be one of the label config, {unknown[0]!r} is not ({len(unknown)} such labels); "
            "correct it, or add it there"
        )
    rows = names.of_examples(examples)
    lines = [json.dumps({"id": e.id, "text": e.text, "label": e.label}, ensure_ascii=False) for e in rows]
    write_atomically(_path(work), "".join(line + "\n" for line in lines))
    known = work.desk.ledger.index_rows(work.key)
    moved = [(row.task_id, row.text, row.label, bucket_of(work, row.text), row.bucket) for row in known]
    work.desk.ledger.put_index(work.key, [new[:4] for new in moved if new[3] != new[4]])


def read_gold(work: ProjectDesk) -> tuple[Example, ...]:
    """The project's gold rows; none where it has none."""
    path = _path(work)
    return _read(path, path.stat().st_mtime_ns)[0] if path.is_file() else ()


def bucket_of(work: ProjectDesk, text: str) -> int:
    """The bucket of a text, which says of which models' index it is a part."""
    path = _path(work)
    if path.is_file() and splits.group_of(text) in _read(path, path.stat().st_mtime_ns)[1]:
        return HELD
    return splits.bucket_of(text)


def gold_outcomes(work: ProjectDesk) -> list[Outcome]:
    """What the version that serves said about the gold rows; empty where it was not judged on them."""
    served = work.served()
    if served is None or served.manifest.judged_on != GOLD:
        return []
    return [row.outcome for row in read_judged(work.folder.artefact(served.version))]


def _path(work: ProjectDesk) -> Path:
    return work.folder.root / GOLD_FILE


@lru_cache(maxsize=8)
def _read(path: Path, changed: int) -> tuple[tuple[Example, ...], frozenset[str]]:  # noqa: ARG001
    """The rows and the groups of their texts, kept until the file changes."""
    with path.open(encoding="utf-8") as file:
        rows = tuple(Example(**json.loads(line)) for line in file)
    return rows, frozenset(splits.group_of(row.text) for row in rows)
