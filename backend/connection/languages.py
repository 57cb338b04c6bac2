"""In which language a project's texts are read, by which model, and what is known of how well."""

from dataclasses import dataclass

from backend.core.artefacts import read_manifest
from backend.core.errors import ModelFolderError
from backend.core.languages import UNSUPPORTED, name_of, quality_of
from backend.core.profiles import load_profile
from backend.core.projects import ProjectFolder
from backend.models.model_uri import parse_uri

TOLD_BY = {  # the manifest's word -> a person's
    "settings": "as the settings say", "texts": "as its texts tell", "labels": "as its labels tell",
    "": "as an earlier prelabel found",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """How the version that serves reads texts."""

    language: str  # a code of ISO 639, or "mixed"
    told_by: str  # who said that it is this language
    embedder: str  # the name of its package or repository
    quality: str  # what is known of it

    @property
    def is_supported(self) -> bool:
        return self.quality != UNSUPPORTED

    @property
    def line(self) -> str:
        return f"{name_of(self.language)} ({self.language}), {self.told_by}; read by {self.embedder}: {self.quality}"


def reading_of(folder: ProjectFolder) -> Reading | None:
    """Of a project; None where no version serves that can be read."""
    version = folder.current()
    if not version:
        return None
    try:
        manifest = read_manifest(folder.artefact(version))
    except ModelFolderError:
        return None
    language, profile = manifest.language, manifest.profile
    told_by = TOLD_BY[str(manifest.parameters.get("language_by", ""))]
    embedder = parse_uri(load_profile(profile).embedder(language).uri).name
    return Reading(language, told_by, embedder, quality_of(language, profile))
