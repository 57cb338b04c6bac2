"""Going back and standing still: rollback, unpin, freeze; and what versions there are."""

from dataclasses import dataclass
from pathlib import Path

from backend.core.artefacts import Manifest, read_manifest
from backend.core.errors import ArtefactError, BadInputError, ModelFolderError
from backend.core.projects import ProjectKey, way_to_train
from backend.ledger import Training
from backend.loop.desk import Desk, ProjectDesk
from backend.loop.push import show_version


@dataclass(frozen=True, slots=True)
class VersionLine:
    """One version of a project, as `prelabel models list` shows it."""

    version: str
    serves: bool
    shown: bool  # by Label Studio
    manifest: Manifest | None  # None where it cannot be read
    problem: str  # that it cannot be used, and what to do; empty where it can
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
            problem="" if _usable(work, version) else _unusable(work, version),
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
        try:
            work.desk.loader.assembly.servable(work.folder.artefact(target))
        except ModelFolderError as err:
            raise ModelFolderError(f"{target} cannot be gone back to ({err}); {_instead(work)}") from err
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


def usable_before(work: ProjectDesk) -> str:
    """The last version that served before the current one and can be used; empty for none."""
    return next((version for version in work.folder.earlier() if _usable(work, version)), "")


def _previous(work: ProjectDesk) -> str:
    older = usable_before(work)
    if not older:
        raise BadInputError(
            f"a version that can be used must have served before {work.folder.current() or 'none'} to roll back to, "
            f"none did; {_instead(work)}"
        )
    return older


def _instead(work: ProjectDesk) -> str:
    """What helps who cannot go back to a version."""
    current = work.folder.current()
    others = [version for version in work.folder.versions() if version != current and _usable(work, version)]
    if others:
        return f"name one of {', '.join(others)} with --version"
    return "the one that serves is the only one that can be used" if _usable(work, current) else f"run: {_way(work)}"


def _unusable(work: ProjectDesk, version: str) -> str:
    return f"cannot be used; run: {_way(work)}" if version == work.folder.current() else "cannot be used"


def _way(work: ProjectDesk) -> str:
    return way_to_train(work.id, pinned=bool(work.row.pinned), frozen=work.row.frozen)


def _usable(work: ProjectDesk, version: str) -> bool:
    try:
        work.desk.loader.assembly.servable(work.folder.artefact(version))
    except ArtefactError:
        return False
    return True


def _manifest(work: ProjectDesk, version: str) -> Manifest | None:
    try:
        return read_manifest(work.folder.artefact(version))
    except ArtefactError:
        return None
