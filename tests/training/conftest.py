"""One assembly for all that is trained here in a row: loading an embedder takes seconds, and holds memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.assembly import Assembly
from backend.core.settings import Settings


@pytest.fixture(scope="package")
def assembly(models_dir: Path) -> Iterator[Assembly]:
    made = Assembly(Settings(home=models_dir.parent))
    yield made
    made.memory.clear()
