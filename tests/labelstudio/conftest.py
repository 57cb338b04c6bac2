"""The web application over the project of the recordings, started once."""

from collections.abc import Iterator

import pytest
import redis

from tests.golden.record import LABEL_CONFIG
from tests.labelstudio.recordings import recording
from tests.labelstudio.served import Web, serve, settings_for


@pytest.fixture(scope="session")
def served(valkey: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The project that the recordings are about, answering."""
    key = str(recording("setup")["request"]["body"]["project"]).replace(".", "-")
    web = serve(settings_for(tmp_path_factory.mktemp("home"), valkey), key, LABEL_CONFIG)
    yield web
    web.close()


@pytest.fixture
def web(served: Web, redis_url: str) -> Web:
    """The same with an emptied queue."""
    return served


@pytest.fixture
def queues(redis_url: str) -> Iterator[redis.Redis]:
    """What the application has enqueued so far lies behind this connection."""
    connection = redis.Redis.from_url(redis_url)
    yield connection
    connection.close()
