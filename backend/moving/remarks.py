"""What is said at the end of an import of rows that were left out, and what to do about them."""

from collections.abc import Iterator

from backend.core.languages import MIXED, name_of
from backend.moving.importing import ImportOptions
from backend.moving.sending import Imported

SHOWN = 3


def remarks_on(done: Imported, options: ImportOptions, language: str) -> Iterator[str]:
    """A line for each way in which something of the file is not in the project, with its remedy.

    Args:
        language: the project's, as its settings have it; empty where they leave it to the texts.
    """
    if done.language and language and done.language != language and MIXED not in (done.language, language):
        yield (
            f"the texts look {name_of(done.language)}, but the project is {name_of(language)}: is it the right "
            'file? If it is, set language = "mixed" in the project\'s settings.toml'
        )
    if done.changed:
        ids = ", ".join(done.changed_ids[:SHOWN])
        yield (
            f"left out, because a task has their id and says something else: {_rows(done.changed)} ({ids}"
            f"{', ...' if done.changed > SHOWN else ''}). If they are other rows, say --no-id (their texts tell them "
            "apart) or --id-prefix; if they are the same, change the tasks"
        )
    if done.late:
        yield (
            f"{_rows(done.late)} in the project without the label that the file has now; say --add-labels to give it "
            "to the tasks"
        )
    if done.unknown_labels:
        named = ", ".join(f"{label!r} in {n}" for label, n in done.unknown_labels.items())
        yield f"rows were rejected for labels that the label config lacks: {named}; correct them, or add them there"
    if done.new and not done.labelled:
        column = options.names.label or "label"
        yield f"no label came in: no row has one in a column {column!r}; is it another column, say --label"


def _rows(n: int) -> str:
    return f"{n} row{'' if n == 1 else 's'}"
