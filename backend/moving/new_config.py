"""The label config of a project that is made for a file: the labels that the file's rows have."""

from backend.core.errors import BadInputError
from backend.labelstudio.label_config import KEY, MAX_LABELS, TEXT, Listed, distinct, label_config, listed_label
from backend.labelstudio.schema import OWN_KEYS
from backend.moving.cells import as_cell
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
    found: dict[str, Listed] = {}
    for record in source.records():
        value = as_cell(record.columns.get(column)).strip()
        if value and value not in found:
            found[value] = listed_label({"label": value}, f"{source.name}, row {record.number}")
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
    key = names.text if KEY.fullmatch(names.text) and names.text not in OWN_KEYS else TEXT
    return label_config(distinct([found[value] for value in sorted(found)]), text_key=key)
