"""How far a text is read: one bound for every model, so that all of them decide about the same text."""

READ_CHARACTERS = 6_000  # of a cleaned text; its windows cost the slower embedder 1.5 s on two idle cores
