"""One assembly for all: loading an embedder takes seconds."""

from pathlib import Path

import pytest

from backend.assembly import Assembly
from backend.core.settings import Settings


@pytest.fixture(scope="session")
def assembly(models_dir: Path) -> Assembly:
    return Assembly(Settings(home=models_dir.parent))
