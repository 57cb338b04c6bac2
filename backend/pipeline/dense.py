"""Vectors in this process's memory, found by FAISS.

Few examples are compared with every text. Many are compared only with texts whose neighbourhood is the same, and kept
in half precision: reading them from memory takes longer than the arithmetic, and cosines move by less than 0.0001.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from backend.core.types import FloatArray, IntArray

PARTED_FROM = 5_000  # examples; from there on comparing with all costs more than the rest of the pipeline
PARTS_LOOKED_AT = 8  # one part in so many: 98 of the 100 nearest are found, 199 of the 200 that are nearest of all
BATCH = 16  # texts that FAISS looks up at once: from 20 on it multiplies matrices, at twice the time for so few


@dataclass(frozen=True)
class FaissIndex:
    """Meets backend.pipeline.retrieve.DenseIndex; holds the only copy of the vectors."""

    nbytes: int
    _index: Any
    _quantizer: Any = None  # FAISS does not keep the index that finds the part alive

    @classmethod
    def of(cls, vectors: FloatArray) -> "FaissIndex":
        """Index (n_vectors, dim), of unit length."""
        import faiss  # a library of 40 MB: only who has vectors loads it

        vectors = np.ascontiguousarray(vectors, np.float32)
        dim = vectors.shape[1]
        flat = faiss.IndexFlatIP(dim)
        if len(vectors) < PARTED_FROM:
            flat.add(vectors)
            return cls(vectors.nbytes, flat)
        n_parts, half = int(len(vectors) ** 0.5), faiss.ScalarQuantizer.QT_fp16
        parted = faiss.IndexIVFScalarQuantizer(flat, dim, n_parts, half, faiss.METRIC_INNER_PRODUCT, False)
        parted.train(vectors)
        parted.add(vectors)
        parted.nprobe = max(1, n_parts // PARTS_LOOKED_AT)
        parted.own_fields = False
        return cls(vectors.nbytes // 2, parted, flat)

    def search(self, queries: FloatArray, k: int) -> tuple[FloatArray, IntArray]:
        import faiss

        faiss.omp_set_num_threads(1)  # holds for this thread only; waking others costs more than 16 look-ups
        parts = [self._index.search(queries[at : at + BATCH], k) for at in range(0, max(len(queries), 1), BATCH)]
        cosines, rows = (np.concatenate(both) for both in zip(*parts, strict=True))
        return cosines, rows
