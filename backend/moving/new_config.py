"""The label config of a project that is made for a file: the labels that the file's rows have."""

from contextlib import suppress

from backend.core.errors import BadInputError
from backend.core.labels import key
from backend.core.spellings import Spellings
from backend.labelstudio.label_config import KEY, MAX_LABELS, TEXT, distinct, label_config, listed_label
from backend.labelstudio.schema import OWN_KEYS
from backend.moving.reading import FileSource
from backend.moving.rows import Names

REMEDY = "write one (prelabel label-config does) and say --label-config"


def config_of(source: FileSource, names: Names) -> str:
    """Read a file once for its labels; sorted, as they stand in no order there.

    Raises:
        BadInputError: it can be read once only, has no labels or too many, or one that cannot stand in a config.
    """
    if source.is_stream:
        raise BadInputError(f"a new project must have a label config, and standard input can be read once: {REMEDY}")
    column = names.label or "label"
    found: dict[str, str] = {}  # by label, where it stands first
    spellings = Spellings()
    for record in source.records():
        with suppress(BadInputError):  # a list: the row is rejected when it is to become a task
            if label := spellings.add(record.columns.get(column)):
                found.setdefault(key(label), f"{source.name}, row {record.number}")
        if len(found) > MAX_LABELS:
            raise BadInputError(
                f"a project must have at most {MAX_LABELS} labels, but the column {column!r} of {source.name} holds "
                f"more; say which column it is with --label, or {REMEDY}"
            )
    if not found:
        raise BadInputError(
            f"a new project must have labels, but {source.name} holds none in the column {column!r}; say which column "
            f"it is with --label, or {REMEDY}"
        )
    text_key = names.text if KEY.fullmatch(names.text) and names.text not in OWN_KEYS else TEXT
    chosen = sorted(spellings.chosen().items(), key=lambda item: item[1])
    listed = [listed_label({"label": written}, found[common]) for common, written in chosen]
    return label_config(distinct(listed), text_key=text_key)
