"""A project of its own for each test, in the session's Label Studio."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.moving.playground import Playground, playing
from tests.stack import RunningLabelStudio


@pytest.fixture
def playground(label_studio: RunningLabelStudio, tmp_path: Path) -> Iterator[Playground]:
    with playing(label_studio, tmp_path / "home") as made:
        yield made
