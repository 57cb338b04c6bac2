"""What is said at the end of an import of rows that were left out, and what to do about them."""

from collections.abc import Iterator

from backend.moving.importing import ImportOptions
from backend.moving.sending import Imported

SHOWN = 3


def remarks_on(done: Imported, options: ImportOptions) -> Iterator[str]:
    """A line for each way in which something of the file is not in the project, with its remedy."""
    if done.changed:
        ids = ", ".join(done.changed_ids[:SHOWN])
        yield (
            f"{done.changed} rows have the id of a task that says something else, and were left out ({ids}"
            f"{', ...' if done.changed > SHOWN else ''}). Are they other rows, say --no-id (texts tell them apart) or "
            "--id-prefix; are they the same rows, change the tasks"
        )
    if done.late:
        yield (
            f"{done.late} rows are in the project without the label that they have now, and it was left out; say "
            "--add-labels to give them theirs"
        )
    if done.unknown_labels:
        named = ", ".join(f"{label!r} in {n}" for label, n in done.unknown_labels.items())
        yield f"rows were rejected for labels that the label config lacks: {named}; correct them, or add them there"
    if done.new and not done.labelled:
        column = options.names.label or "label"
        yield f"no label came in: no row has one in a column {column!r}; is it another column, say --label"
