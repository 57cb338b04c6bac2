"""The label config of a project that is made for a file: the labels of the rows that can come in."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from backend.core.errors import BadInputError
from backend.core.labels import key
from backend.core.spellings import Spellings
from backend.core.types import LabelSpace
from backend.labelstudio.label_config import KEY, MAX_LABELS, TEXT, distinct, label_config, listed_label
from backend.labelstudio.schema import OWN_KEYS, Control
from backend.moving.catalogue import Catalogue, open_catalogue
from backend.moving.rare_labels import rare_labels
from backend.moving.rows import RowReader
from backend.rows.names import Names
from backend.rows.reading import FileSource
from backend.rows.records import Reject

REMEDY = "write one (prelabel label-config does) and say --label-config"


def config_of(source: FileSource, names: Names, report: Callable[[str], None]) -> str:
    """Read a file once for its labels; sorted, as they stand in no order there.

    Raises:
        BadInputError: it can be read once only, has no labels or too many, or one that cannot stand in a config.
    """
    if source.is_stream:
        raise BadInputError(f"a new project must have a label config, and standard input can be read once: {REMEDY}")
    shown = KEY.fullmatch(names.text) and names.text not in OWN_KEYS
    text_key, column = names.text if shown else TEXT, names.label or "label"
    found: dict[str, str] = {}  # by label, where it stands first
    spellings = Spellings()
    refused = ""  # why the first of the other rows is none
    for row in _rejects(source, names, text_key):
        if not row.unknown_label:
            refused = refused or f" (row {row.number}: {row.reason})"
            continue
        spellings.add(row.unknown_label)
        found.setdefault(key(row.unknown_label), f"{source.name}, row {row.number}")
        if len(found) > MAX_LABELS:
            raise BadInputError(
                f"a project must have at most {MAX_LABELS} labels, but the column {column!r} of {source.name} holds "
                f"more; say which column it is with --label, or {REMEDY}"
            )
    if not found:
        raise BadInputError(
            f"a new project must have labels, but {source.name} holds none in the column {column!r}{refused}; say "
            f"which column it is with --label, or {REMEDY}"
        )
    chosen = spellings.chosen()
    for line in rare_labels({chosen[common]: written.total() for common, written in spellings.rows.items()}):
        report(line)
    listed = [
        listed_label({"label": written}, found[common])
        for common, written in sorted(chosen.items(), key=lambda item: item[1])
    ]
    return label_config(distinct(listed), text_key=text_key)


def _rejects(source: FileSource, names: Names, text_key: str) -> Iterator[Reject]:
    """The rows that have a label, of several with one id the first, and those that cannot come in at all.

    To a config without labels every label is unknown, and a row with one has no other fault.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        open_catalogue(Path(folder) / "rows.sqlite3", text_key) as catalogue,
    ):
        control = Control("", "", text_key, LabelSpace(()), dynamic=False, shows_reason=False)
        reader = RowReader(control, names, catalogue.occurrence)
        for record in source.records():
            found = reader.read(record)
            if isinstance(found, Reject) and _first(found, catalogue):
                yield found


def _first(row: Reject, catalogue: Catalogue) -> bool:
    return not row.id or catalogue.see(row.id, row.number, b"") is None
