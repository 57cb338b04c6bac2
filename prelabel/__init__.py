"""prelabel for scripts and notebooks: the names that stay stable.

>>> import prelabel
>>> pipeline = prelabel.load_pipeline("models/support")
>>> pipeline.run(["where is my parcel?"], deadline_s=5.0)[0].predicted_label
'track_order'
>>> print(pipeline.explain("where is my parcel?"))
"""

from pathlib import Path

from backend.assembly import Assembly
from backend.core.explanation import Explanation
from backend.core.settings import load_settings
from backend.core.types import Decision, Example, Label, LabelSpace, Pipeline
from backend.moving.importing import ImportOptions
from backend.rows.names import Names
from prelabel.moving import export_labels, import_records, import_texts, push_predictions


def load_pipeline(model: str | Path) -> Pipeline:
    """A pipeline from a model folder, as `prelabel train` or the worker publishes it.

    Raises:
        ArtefactError: the folder, or a model that its profile names, is missing or damaged.
    """
    return Assembly(load_settings()).pipeline(Path(model))


__all__ = [
    "Decision", "Example", "Explanation", "ImportOptions", "Label", "LabelSpace", "Names", "Pipeline", "export_labels",
    "import_records", "import_texts", "load_pipeline", "push_predictions",
]  # fmt: skip
