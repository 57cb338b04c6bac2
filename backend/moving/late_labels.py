"""Labels for rows that a project holds already: a file that was imported without its labels has them now.

They are added as predictions only: annotations come into Label Studio with their tasks alone, and one that is made
afterwards would count as a person's word.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from backend.labelstudio.filters import having_version, labelled
from backend.labelstudio.records import Json, Project
from backend.labelstudio.schema import IMPORTED, Control
from backend.labelstudio.wire import choice
from backend.moving.catalogue import Catalogue, Labelled, Tasks

PIECE = 5000  # labels of one request, about 3 s, in which people's submits take up to 1 s longer


class Labels(Tasks, Protocol):
    """What is asked of Label Studio."""

    def import_predictions(self, project_id: int, predictions: Iterable[Json]) -> int: ...

    def project(self, project_id: int) -> Project: ...

    def update_project(self, project_id: int, **fields: object) -> Project: ...


@dataclass
class LateLabels:
    """The labels of one run whose tasks stand there already."""

    client: Labels
    project_id: int
    control: Control
    catalogue: Catalogue
    add: bool  # whether they are to be added
    n_unlabelled: int = 0  # of those that were noted, rows whose tasks were made without a column of labels

    def note(self, label: Labelled, *, unlabelled: bool) -> None:
        self.catalogue.note_label(label)
        self.n_unlabelled += unlabelled

    def lacking(self) -> Sequence[Labelled]:
        """Those whose tasks have no label: none that was imported, and nobody's word.

        Where nothing says otherwise, rows that stood there with their labels have them still.
        """
        holding = ([having_version(IMPORTED)], [labelled()])
        noted = list(self.catalogue.noted_labels())
        if noted and any(self.client.count(self.project_id, filters) for filters in holding):
            if not self.add and not self.n_unlabelled:
                return []
            for filters in holding:
                for page in self.client.pages_above(self.project_id, 0, include="id", filters=filters):
                    self.catalogue.forget_labels(task["id"] for task in page)
            return list(self.catalogue.noted_labels())
        return noted

    def send(self, lacking: Sequence[Labelled]) -> int:
        """Add labels in pieces between which others get their turn; how many Label Studio kept."""
        waiting = iter(lacking)
        n_kept = 0
        while piece := list(islice(waiting, PIECE)):
            n_kept += self.client.import_predictions(self.project_id, self._predictions(piece))
        if not self.client.project(self.project_id).model_version:  # as with predictions that come with tasks
            self.client.update_project(self.project_id, model_version=IMPORTED)
        return n_kept

    def _predictions(self, piece: Sequence[Labelled]) -> Iterator[Json]:
        for each in piece:
            yield {
                "task": each.task_id,
                "result": [choice(self.control, each.label)],
                "model_version": IMPORTED,
            }
