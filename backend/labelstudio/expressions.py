"""One value for a key of many tasks' data, as the Data Manager's action takes it.

The action parses an expression with a splitter of its own, for which brackets, commas and quotes
mean something inside strings, too; in JSON they can be written as escapes.
"""

import json

from backend.labelstudio.records import Json

MEANING = "();'[]"  # signs that end, part or quote arguments


def data_field(name: str, value: object) -> Json:
    """The action's arguments that set a key to a string, or to a list of objects of strings."""
    return {"value_name": name, "value_type": "Expression", "value": f"choices([{_argument(value)}])"}


def _argument(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_argument(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_argument(name)}: {_argument(each)}' for name, each in value.items())}}}"
    text = json.dumps(value)
    for sign in MEANING:
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
