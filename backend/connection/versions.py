"""Going back and standing still: rollback, unpin, freeze; and what versions there are."""

from dataclasses import dataclass
from pathlib import Path

from backend.core.artefacts import Manifest, read_manifest
from backend.core.errors import ArtefactError, BadInputError
from backend.core.projects import ProjectKey
from backend.ledger import Training
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.push import show_version


@dataclass(frozen=True, slots=True)
class VersionLine:
    """One version of a project, as `prelabel models list` shows it."""

    version: str
    serves: bool
    shown: bool  # by Label Studio
    manifest: Manifest | None  # None where the folder cannot be used
    training: Training | None  # None for the cold version
    n_predictions: int  # stored in Label Studio
    report: Path | None  # the page that says how good it is; None where it was never judged


def list_versions(work: ProjectDesk) -> list[VersionLine]:
    """All published versions of a project, oldest first."""
    stored = work.desk.client.model_versions(work.id)
    trainings = {training.version: training for training in work.desk.ledger.trainings(work.key)}
    current = work.folder.current()
    return [
        VersionLine(
            version,
            serves=version == current,
            shown=version == work.project.model_version,
            manifest=_manifest(work, version),
            training=trainings.get(version),
            n_predictions=stored.get(version, 0),
            report=page if (page := work.folder.report(version)).is_file() else None,
        )
        for version in work.folder.versions()
    ]


def rollback(work: ProjectDesk, version: str = "") -> str:
    """Serve an older version again and stay with it until `unpin`; its name.

    Label Studio still stores the previous version's predictions, so showing them is one call.

    Raises:
        BadInputError: there is no older version, or none of that name.
        ModelFolderError: that version cannot be used any more.
    """
    target = version or _previous(work)
    if work.folder.artefact(target).exists():
        work.desk.loader.assembly.servable(work.folder.artefact(target))
    work.folder.go_back(target)
    work.update(pinned=target)
    if target in work.desk.client.model_versions(work.id):
        show_version(work, target)
    work.desk.queue.enqueue("predict_project", work.key)
    return target


def unpin(work: ProjectDesk) -> None:
    """Let the next training switch again."""
    work.update(pinned="")


def freeze(work: ProjectDesk, *, frozen: bool) -> None:
    """Stop retraining, or let it go on."""
    work.update(frozen=frozen)


def key_of(desk: Desk, project_id: int) -> str:
    """The key of a connected project by its number in Label Studio.

    Raises:
        BadInputError: no such project is connected.
    """
    connected = [ProjectKey.parse(key) for key in desk.ledger.project_keys()]
    keys = [key for key in connected if key.id == project_id]
    if not keys:
        known = ", ".join(str(key.id) for key in connected) or "none"
        raise BadInputError(
            f"project must be connected in {desk.settings.home} ({known}), {project_id} is not; "
            f"run: prelabel connect --project {project_id}"
        )
    return str(max(keys, key=lambda key: key.created))


def _previous(work: ProjectDesk) -> str:
    older = work.folder.previous()
    if not older:
        published = ", ".join(work.folder.versions()) or "none"
        raise BadInputError(
            f"a version must have served before {work.folder.current() or 'none'} to roll back to, "
            f"none did; name one of {published} with --version"
        )
    return older


def _manifest(work: ProjectDesk, version: str) -> Manifest | None:
    try:
        return read_manifest(work.folder.artefact(version))
    except ArtefactError:
        return None
