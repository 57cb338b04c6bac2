"""The sample projects of the demo: texts, label configs and guidelines, written for prelabel.

Reads the files beside it and knows nothing of Label Studio or models. The right labels (`gold`) are here to judge
with; what may enter a task is `SampleRow.importable`.
"""

import csv
import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
SAMPLES = ("support_intents_en", "marketplace_reviews_ru")  # in the order in which the demo creates them


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One text of a sample."""

    id: str  # unique within its sample
    text: str  # as its writer left it: typos, markup and all
    given_label: str  # what somebody labelled it, sometimes wrong
    gold: str  # the right label; judges, and is never imported

    @property
    def importable(self) -> dict[str, str]:
        """The columns that may enter a task, under the names of a data file: everything but `gold`."""
        return {"id": self.id, "text": self.text, "label": self.given_label}


@dataclass(frozen=True, slots=True)
class Sample:
    """One project of the demo."""

    name: str  # the folder's name
    title: str  # what the project is called in Label Studio
    language: str  # "en" or "ru"
    label_config: str  # XML; the only home of the labels and their hints
    guideline: str  # Markdown, for annotators
    rows: tuple[SampleRow, ...]  # in the file's order, which is already shuffled


def load_samples() -> tuple[Sample, ...]:
    """Read every sample, in the order in which the demo creates them."""
    return tuple(_load(FOLDER / name) for name in SAMPLES)


def _load(folder: Path) -> Sample:
    about = tomllib.loads(_read(folder / "sample.toml"))
    return Sample(
        name=folder.name,
        title=about["title"],
        language=about["language"],
        label_config=_read(folder / "label_config.xml"),
        guideline=_read(folder / "guideline.md"),
        rows=_rows(folder / "texts.csv"),
    )


def _rows(path: Path) -> tuple[SampleRow, ...]:
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(SampleRow(row["id"], row["text"], row["label"], row["gold"]) for row in csv.DictReader(file))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
