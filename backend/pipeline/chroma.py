"""Vectors in a collection of Chroma, for people who run one already; FAISS finds the same without it.

A collection is derived from a model folder, which holds the truth: where it is missing, half-filled or made of other
vectors, it is filled again. Chroma is sent row numbers and vectors, never a text or a label.
"""

import base64
import importlib
import ssl
import uuid
import weakref
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from backend.core.errors import MissingExtraError, VectorIndexError
from backend.core.package_index import without_credentials
from backend.core.types import FloatArray, IntArray

INSTALL = "pip install 'prelabel[chroma]'"
LOOKED_AT = 5_000  # vectors a query: with fewer in all every one is; of 15,000 it finds 99.996 of the 100 nearest
AT_ONCE = 500  # vectors sent in one call: 1 MB, a second of a busy server
ANSWER_S = 10.0  # for one such call on a busy machine; the client by itself would wait for ever
CONNECT_S = 2.0
PREFIX = "prelabel"
MADE_OF, COMPLETE = "vectors_sha256", "complete"  # a collection's metadata


@dataclass(frozen=True)
class Chroma:
    """A Chroma: a server's, or one inside this process."""

    name: str  # for messages
    shared: bool  # whether other processes see the same collections
    client: Any = field(repr=False)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Raises VectorIndexError where Chroma did not."""
        try:
            yield
        except Exception as err:  # its client raises httpx's errors, its own, ValueError and bare Exception
            status = getattr(getattr(err, "response", None), "status_code", type(err).__name__)
            raise VectorIndexError(
                f"Chroma at {self.name} must answer, but did not ({status}); check that it runs and PRELABEL_CHROMA_URL"
            ) from err

    def open(self, name: str) -> Any:
        """A collection by name; None where there is none."""
        try:
            return self.client.get_collection(name, embedding_function=None)
        except importlib.import_module("chromadb.errors").NotFoundError:
            return None

    def sweep(self, project: str, keep: Collection[str]) -> None:
        """Delete a project's collections but those of some versions; those of this process go with their users.

        Raises:
            VectorIndexError: Chroma did not answer.
        """
        kept = {collection_name(project, version) for version in keep}
        with self.answering():
            for name in self.names() if self.shared else ():
                if name.startswith(collection_name(project, "")) and name not in kept:
                    _forget(self.client, name)

    def names(self) -> list[str]:
        n = self.client.count_collections()
        return [each.name for at in range(0, n, 100) for each in self.client.list_collections(limit=100, offset=at)]


def collection_name(project: str, version: str) -> str:
    return f"{PREFIX}-{project}-{version}"


def open_chroma(url: str, *, authorities: str = "") -> Chroma:
    """The server of a URL; without one, a Chroma that lives and dies with this process.

    Raises:
        MissingExtraError: chromadb is not installed.
        VectorIndexError: the server did not answer.
    """
    try:
        chromadb = importlib.import_module("chromadb")
    except ImportError as err:
        raise MissingExtraError(f"this index needs Chroma, which is not installed; run `{INSTALL}`") from err
    settings = chromadb.config.Settings(anonymized_telemetry=False, chroma_otel_collection_endpoint="")
    if not url:
        return Chroma("this process", False, chromadb.EphemeralClient(settings))
    server = Chroma(without_credentials(url), True, None)
    with server.answering():
        client = _bounded_client(chromadb, url, authorities, settings)
    server = replace(server, client=client)
    weakref.finalize(server, _close, client)
    return server


def _bounded_client(chromadb: Any, url: str, authorities: str, settings: Any) -> Any:
    """A client whose calls end: the library waits for ever, has no setting for it, and asks as soon as it is made."""
    httpx = importlib.import_module("httpx")
    parts, address = urlsplit(url), without_credentials(url).rstrip("/")
    login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}".encode()
    headers = {"Authorization": f"Basic {base64.b64encode(login).decode()}"} if parts.username else {}
    secure = parts.scheme == "https"
    settings.chroma_server_ssl_verify = authorities or None if secure else None
    timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
    trust = ssl.create_default_context(cafile=authorities or None) if secure else False
    with httpx.Client(timeout=timeout, verify=trust, headers=headers) as probe:
        probe.get(f"{address}/api/v2/heartbeat").raise_for_status()
    client = chromadb.HttpClient(host=address, headers=headers, settings=settings)
    client._server._session.timeout = timeout
    return client


@dataclass(frozen=True)
class ChromaIndex:
    """Meets backend.pipeline.retrieve.DenseIndex."""

    chroma: Chroma
    name: str
    made_of: str  # SHA-256 of the file of vectors
    vectors: Callable[[], FloatArray] = field(repr=False)  # reads them again; they are not kept
    nbytes: int = 0  # in this process

    @classmethod
    def of(cls, chroma: Chroma, name: str, made_of: str, vectors: Callable[[], FloatArray]) -> "ChromaIndex":
        """The collection of that name, filled.

        Raises:
            VectorIndexError: Chroma did not answer.
        """
        if chroma.shared:
            index = cls(chroma, name, made_of, vectors)
        else:  # nobody else's, and gone with its last user
            index = cls(chroma, f"{name}-{uuid.uuid4().hex[:8]}", made_of, vectors, vectors().nbytes)
            weakref.finalize(index, _forget, chroma.client, index.name).atexit = False
        with chroma.answering():
            index._filled()
        return index

    def search(self, queries: FloatArray, k: int) -> tuple[FloatArray, IntArray]:
        """As DenseIndex; a collection that somebody deleted is filled again first."""
        cosines = np.full((len(queries), k), -np.inf, np.float32)
        rows = np.full((len(queries), k), -1, np.int64)
        if not len(queries):
            return cosines, rows
        with self.chroma.answering():
            found = self._filled().query(query_embeddings=queries, n_results=k, include=["distances"])
        for at, (ids, distances) in enumerate(zip(found["ids"], found["distances"], strict=True)):
            rows[at, : len(ids)] = [int(id_) for id_ in ids]
            cosines[at, : len(ids)] = 1.0 - np.asarray(distances, np.float32)
        return cosines, rows

    def _filled(self) -> Any:
        """The collection, which may cost an upload. Several processes may do that at once: each adds the same rows.

        Rows that are there already stay: `upsert` would mend the graph around each, in ten times the time.
        """
        collection = self.chroma.open(self.name)
        marks = (collection.metadata or {}) if collection is not None else {}
        if marks.get(MADE_OF) == self.made_of and marks.get(COMPLETE):
            return collection
        if collection is not None and marks.get(MADE_OF) != self.made_of:
            _forget(self.chroma.client, self.name)
        vectors = np.ascontiguousarray(self.vectors(), np.float32)
        collection = self.chroma.client.get_or_create_collection(
            self.name, embedding_function=None, metadata={MADE_OF: self.made_of, COMPLETE: False},
            configuration={"hnsw": {
                "space": "cosine", "ef_search": min(len(vectors), LOOKED_AT), "ef_construction": 200,
                "max_neighbors": 32, "num_threads": 1,
            }},
        )  # fmt: skip
        for at in range(0, len(vectors), AT_ONCE):
            part = vectors[at : at + AT_ONCE]
            collection.add(ids=[str(row) for row in range(at, at + len(part))], embeddings=part)
        collection.modify(metadata={MADE_OF: self.made_of, COMPLETE: True})
        return collection


def _close(client: Any) -> None:
    """Close the connections of a client and of the second one that it makes for itself; its own `close` leaves them."""
    for each in (client, client._admin_client):
        each._server._session.close()
    client.close()


def _forget(client: Any, name: str) -> None:
    """Delete a collection, unless another process was faster."""
    with suppress(importlib.import_module("chromadb.errors").NotFoundError):
        client.delete_collection(name)
