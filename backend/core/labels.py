"""What a label is: one rule for files, label configs, annotations, settings and descriptions.

Two values are one label where a person reads the same: blanks at the edges and in a row, composed
and decomposed letters and invisible signs make no difference, and numbers and booleans are the same
in JSON and in a table. Letters that merely look alike, upper and lower case stay apart;
`backend.core.spellings` tells of them. What is sent to Label Studio is always the value of its
label config, letter for letter.
"""

import math
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Integral, Real

import regex

from backend.core.errors import BadInputError
from backend.core.types import Example, Label, LabelSpace

# Between letters of these scripts, and between emoji, joiners change what is seen.
JOINED = (
    r"[\p{Arabic}\p{Syriac}\p{Mongolian}\p{Devanagari}\p{Bengali}\p{Gurmukhi}\p{Gujarati}\p{Oriya}"
    r"\p{Tamil}\p{Telugu}\p{Kannada}\p{Malayalam}\p{Sinhala}\p{Khmer}\p{Myanmar}"
    r"\p{Extended_Pictographic}\p{Emoji_Modifier}\uFE0F]"
)
JOINERS = r"[\u200C\u200D]"
TAGS = r"\U000E0020-\U000E007F"  # they tell the flags of England and Scotland apart
INVISIBLE = regex.compile(
    rf"[[\p{{Default_Ignorable_Code_Point}}\p{{Cc}}\uFFF9-\uFFFB]--[\s\u200C\u200D{TAGS}]]"
    rf"|(?<!{JOINED}){JOINERS}|{JOINERS}(?!{JOINED})",
    regex.V1,
)
MARKS = regex.compile(r"(\p{M}{8})\p{M}++")  # no script puts more on a letter; sorting them is slow
WHOLE = regex.compile(r"([+-]?\d+)\.0")  # how tables write a whole number that was a float
BOOLEANS = ("true", "false")
LARGEST_WHOLE = 2.0**53  # beyond it a float no longer knows its units
ONE_LABEL = "a label must be one value"


def spelled(value: object) -> str:
    """A label as it reads; empty for none (null, NaN, blanks).

    Raises:
        BadInputError: it is a list or an object.
    """
    text = MARKS.sub(r"\1", INVISIBLE.sub("", _cell(value)))
    return " ".join(unicodedata.normalize("NFC", text).split())


def key(value: object) -> str:
    """What all spellings of one label have in common; empty for none. Raises as `spelled`."""
    text = spelled(value)
    if text.lower() in BOOLEANS:
        return text.lower()
    whole = WHOLE.fullmatch(text)
    return whole[1] if whole else text


def _cell(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list | tuple | set | dict):
        kind = "an object" if isinstance(value, dict) else f"a list of {len(value)}"
        raise BadInputError(f"{ONE_LABEL}, was {kind}; write one label a row")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Real) and not isinstance(value, Integral):
        number = float(value)
        if not math.isfinite(number):
            return ""
        whole = number.is_integer() and abs(number) < LARGEST_WHOLE
        return str(int(number)) if whole else str(number)
    return str(value)


@dataclass(frozen=True)
class LabelNames:
    """The labels of a label config, by everything that they are called.

    A value or name that is given exactly so wins; where two choices of a config are one label by
    the rule, only their exact spellings tell them apart.
    """

    space: LabelSpace
    oos_name: str = ""  # how the out-of-scope choice reads
    renamed: Mapping[str, str] = field(default_factory=dict)  # old name -> present one; "": dropped

    def value_of(self, given: object) -> str | None:
        """The config's own value of a label; empty for none or a dropped one, None for an unknown.

        Raises:
            BadInputError: it is a list or an object.
        """
        now = self._renamed.get(key(given)) if self.renamed else None
        return self._present(given if now is None else now)

    def of_examples(self, examples: Iterable[Example]) -> list[Example]:
        """Examples with the config's own values; a label that it does not have stays as it is."""
        values = ((each, self.value_of(each.label)) for each in examples)
        return [replace(each, label=value) if value else each for each, value in values]

    def written_twice(self) -> list[list[str]]:
        """Values of the config that are one label by the rule, in groups."""
        groups: defaultdict[str, list[str]] = defaultdict(list)
        for value, _ in self._values():
            groups[key(value)].append(value)
        return [group for group in groups.values() if len(group) > 1]

    def _present(self, given: object) -> str | None:
        if isinstance(given, str) and given in self._exact:
            return self._exact[given]
        common = key(given)
        return self._alike.get(common) if common else ""

    @cached_property
    def _renamed(self) -> dict[str, str]:
        return {key(was): now for was, now in self.renamed.items()}

    @cached_property
    def _exact(self) -> dict[str, str]:
        return dict([*self._names(), *self._values()])

    @cached_property
    def _alike(self) -> dict[str, str]:
        return {**_unambiguous(self._names()), **_unambiguous(self._values())}

    def _values(self) -> list[tuple[str, str]]:
        return [(value, value) for value in (*self.space.values, self.space.oos_value) if value]

    def _names(self) -> list[tuple[str, str]]:
        names = [(label.name, label.value) for label in self.space.labels]
        outside = (self.oos_name, self.space.oos_value)
        return [*names, outside] if all(outside) else names


def space_of(values: Iterable[str], oos_label: str) -> LabelSpace:
    """The label space of a source without a label config.

    Raises:
        BadInputError: no value is the label that `oos_label` names.
    """
    labels = tuple(Label(value, value) for value in sorted(set(values)))
    outside = LabelNames(LabelSpace(labels)).value_of(oos_label)
    if outside is None:
        raise BadInputError(f"--oos-label must be a label of the data, but no row has {oos_label!r}")
    return LabelSpace(tuple(label for label in labels if label.value != outside), outside)


def _unambiguous(called: Iterable[tuple[str, str]]) -> dict[str, str]:
    values: defaultdict[str, set[str]] = defaultdict(set)
    for name, value in called:
        values[key(name)].add(value)
    return {common: next(iter(found)) for common, found in values.items() if len(found) == 1}
