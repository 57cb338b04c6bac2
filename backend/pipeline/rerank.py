"""The seam for a reranker: a model that reads a text and a candidate together, costlier and better than retrieval.

No cross-encoder comes with the embedded profile; `NoReranker` stands there.
"""

from typing import Protocol

from backend.pipeline.evidence import Evidence, Feature

RERANKER = "reranker"


class Reranker(Protocol):
    """Judges the candidates of retrieval; its relevance (0-1) is a feature like any other."""

    def rerank(self, evidence: Evidence) -> tuple[Feature, ...]:
        """At most one feature over all rows, present for the candidates it read."""
        ...


class NoReranker:
    """Reads nothing and adds nothing."""

    def rerank(self, _evidence: Evidence) -> tuple[Feature, ...]:
        return ()
