"""What is said at the end of an import: of what was left out, and of a file that looks like another project's."""

import pytest

from backend.moving.importing import ImportOptions
from backend.moving.remarks import remarks_on
from backend.moving.sending import Imported

REMARKS = [
    ("all came in", Imported(read=2, new=2, labelled=2, language="en"), "en", []),
    ("ids began anew", Imported(read=2, changed=2, changed_ids=["1", "2"]), "", ["2 rows (1, 2). If they are other"]),
    ("labels came later", Imported(read=1, late=1), "", ["1 row in the project without the label"]),
    ("unknown labels", Imported(rejected=3, unknown_labels={"rufund": 3}), "", ["lacks: 'rufund' in 3; correct"]),
    ("no labels", Imported(read=2, new=2), "", ["no label came in: no row has one in a column 'label'"]),
    ("another language", Imported(read=9, known=9, language="ru"), "en", ["texts look Russian, but the project is"]),
    ("a mixture", Imported(read=9, known=9, language="mixed"), "en", []),
    ("no language set", Imported(read=9, known=9, language="ru"), "", []),
]


@pytest.mark.parametrize(("done", "language", "told"), [row[1:] for row in REMARKS], ids=[row[0] for row in REMARKS])
def test_what_was_left_out_is_told_with_its_remedy(done: Imported, language: str, told: list[str]) -> None:
    found = list(remarks_on(done, ImportOptions(), language))
    assert len(found) == len(told)
    assert all(part in line for part, line in zip(told, found, strict=True))
