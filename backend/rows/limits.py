"""What one file, and one row of it, may take: a small file must not fill the memory or compute for hours.

Each limit is far above what texts that people label need, and says so where it is met.
"""

MAX_ROW_CHARACTERS = 8 * 2**20  # a book has a million; of one row some 200 MB are needed at most
MAX_DEPTH = 32  # lists and objects inside each other; Label Studio's own exports need 8
MAX_CONTAINERS = 100_000  # lists and objects of one row, of 90 bytes each
MAX_COLUMNS = 5_000  # a table of features beside the text has hundreds
MAX_RATIO = 100  # unpacked to packed bytes; texts reach 20
FREE_BYTES = 2**20  # unpacked before the ratio counts: tables of a few like rows pack well
MAX_ROWS_PER_BYTE = 10  # of Parquet, where equal rows take no room
FREE_ROWS = 100_000  # before that counts


class UnreadableRowError(Exception):
    """Says why one row cannot be read; the next one can. Never leaves backend.rows."""


def too_long() -> UnreadableRowError:
    """The reason for a row above MAX_ROW_CHARACTERS."""
    return UnreadableRowError(f"a row must have at most {MAX_ROW_CHARACTERS} characters, has more; split its text")


def too_deep() -> UnreadableRowError:
    """The reason for a row above MAX_DEPTH."""
    return UnreadableRowError(f"lists and objects must nest at most {MAX_DEPTH} deep, nest deeper; flatten the row")
