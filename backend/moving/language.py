"""Whether the texts of a file are in another language than the project's model learnt: a wrong file, perhaps."""

from itertools import islice

from backend.core.artefacts import read_manifest
from backend.core.errors import ArtefactError
from backend.core.projects import ProjectFolder, ProjectSettings
from backend.pipeline.language import SPOKEN, detect_language
from backend.rows.cells import as_cell
from backend.rows.names import TEXT, column_named
from backend.rows.reading import FileSource

N_LOOKED_AT = 200  # rows


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


def language_note(source: FileSource, column: str, language: str) -> str:
    """What to say where the first rows are in another language; empty where nothing is."""
    if source.is_stream or language not in ("en", "ru"):
        return ""
    rows = (record.columns for record in islice(source.records(), N_LOOKED_AT))
    texts = [as_cell(row.get(column_named(row, column) or column_named(row, TEXT) or "")) for row in rows]
    found = detect_language(texts)
    if found == language or not any(texts):
        return ""
    return f"the texts look {SPOKEN[found]}, the project's model learnt {SPOKEN[language]} ones: is it the right file?"
