"""How far a text is read: one bound for every model, so that all of them decide about the same text."""

READ_CHARACTERS = 6_000  # of a cleaned text; they cost the slower embedder 0.5 s, on a busy machine 3 s
