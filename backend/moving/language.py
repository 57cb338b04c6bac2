"""The language of a project, with which that of a file is compared: it may be the wrong file."""

from backend.core.artefacts import read_manifest
from backend.core.errors import ArtefactError
from backend.core.projects import ProjectFolder, ProjectSettings


def language_of_project(folder: ProjectFolder, settings: ProjectSettings) -> str:
    """The language that is set, or that the serving version learnt; empty where there is neither."""
    version = folder.current()
    if settings.language or not version:
        return settings.language
    try:
        manifest = read_manifest(folder.artefact(version))
    except ArtefactError:
        return ""
    return manifest.language if manifest.data.n_examples else ""  # without any, labels' names alone told it
