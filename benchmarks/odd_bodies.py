"""JSON bodies and label configs that nobody should send: what Label Studio sends, bent at any depth.

Whatever is made up here carries PLANTED, so that one sees where it comes out again: in a log, in a reason phrase.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

PLANTED = "zyuzyubra"
CONFIG_KEYS = ("label_config", "schema")
MANY_TASKS, MANY_LABELS, DEEP = 5_000, 5_000, 3_000

Step = str | int
Where = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request that Label Studio was seen to send."""

    path: str
    body: Any


ODD_STRINGS = [
    "", " ", "\x00", f"{PLANTED}\x00\x1b[31m", "\ud83d", f"{PLANTED}\udfff", f"'{PLANTED}' \"{PLANTED}\" \\' {PLANTED}",
    f"{PLANTED}\r\nX-Split: 1", "../../etc/passwd", f"{{{{{PLANTED}}}}}", "%s%n%d", "NaN", "٣", "1.1", "-1.-1",
    f"{PLANTED} " * 20_000, "é" * 300, "<b>" * 500, "https://" + PLANTED, "0001-01-01T00:00:00",
    "9999-12-31T23:59:59-23:59", "2026-11-21T10:11:31Z\ud83d", "a" * 70_000,
]  # fmt: skip
ODD_VALUES: list[Any] = [
    None, True, False, 0, -1, 2**63 - 1, 2**63, 10**30, 10**4000, 0.5, -0.0, 1e308, 5e-324,
    float("inf"), float("-inf"), float("nan"), [], {}, [[]], [None], {"": None}, {"id": True}, *ODD_STRINGS,
]  # fmt: skip
WORDS = st.text(max_size=30).map(lambda text: PLANTED + text)
VALUES = st.sampled_from(ODD_VALUES) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=8,
)


def bodies(recorded: Sequence[Recorded]) -> st.SearchStrategy[bytes]:
    known = [each.body for each in recorded if each.body is not None] or [{}]
    bent = st.sampled_from(known).flatmap(_bent).map(_encoded)
    respelled = st.builds(lambda how, body: how(body), st.sampled_from(SPELLINGS), bent)
    return st.one_of(bent, bent, bent, bent, bent, respelled, VALUES.map(_encoded), st.sampled_from(NO_JSON))


def _encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


SPELLINGS: list[Callable[[bytes], bytes]] = [
    lambda body: body.decode().encode("utf-16"),
    lambda body: b"\xef\xbb\xbf" + body,
    lambda body: json.dumps(json.loads(body), ensure_ascii=False).encode("utf-8", "surrogatepass"),
    lambda body: json.dumps(json.loads(body), ensure_ascii=False).encode("cp1251", "replace"),
    lambda body: body[:-1],
    lambda body: body[: len(body) // 2],
    lambda body: body + body,
    lambda body: b'{"project": 1, "tasks": 5, "action": [],' + body.lstrip()[1:],
    lambda body: body.replace(b'"', b"'"),
    lambda body: body.replace(b"null", b"NaN"),
]
NO_JSON = [
    b"", b" ", b"{", b"\x00", b"\xff\xfe", b"\xff\xfe\x00\xd8",
    b"[" * 100_000, b'{"a":' * 100_000, b"[" + b"9" * 5_000 + b"]",
    b"[1e999999]", b'"\\ud800"', PLANTED.encode(), b"project=1&x=" + PLANTED.encode(), b"[" * 900 + b"]" * 900,
    b'{"tasks": ' + b"[" * 900 + b"]" * 900 + b', "project": "1.1", "label_config": "<View/>"}', b"<x/>",
    b"[" + b" " * 6_000_000,
]  # fmt: skip


@st.composite
def _bent(draw: st.DrawFn, body: Any) -> Any:
    """A recorded body after up to three changes at any depth."""
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(body))
        where = draw(st.sampled_from(places)) if places else ()
        configs = [place for place in places if place[-1] in CONFIG_KEYS]
        if configs and not mostly(draw, 2):
            where = configs[0]
        body = _with(body, where, draw(_others(where, _at(body, where))), drop=not mostly(draw, 5))
    return body


def _others(where: Where, found: Any) -> st.SearchStrategy[Any]:
    """What may stand in the place of a value."""
    if isinstance(found, str) and where and where[-1] in CONFIG_KEYS:
        return _configs(found)
    if isinstance(found, list) and found:
        return st.sampled_from([[], found * 2, found[:1] * MANY_TASKS, found[0], found[::-1]]) | VALUES
    return VALUES


def _places(value: Any, where: Where = ()) -> list[Where]:
    """Where anything stands in a JSON value; of long lists the beginning."""
    inside: list[tuple[Step, Any]] = []
    if isinstance(value, dict):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = list(enumerate(value[:5]))
    return [place for step, item in inside for place in ((*where, step), *_places(item, (*where, step)))]


def _at(value: Any, where: Where) -> Any:
    for step in where:
        value = value[step]
    return value


def _with(value: Any, where: Where, changed: Any, *, drop: bool) -> Any:
    """A JSON value with another one at a place, or with nothing there."""
    if not where:
        return changed
    step, rest = where[0], where[1:]
    copy = value.copy()
    if drop and not rest:
        del copy[step]
    else:
        copy[step] = _with(value[step], rest, changed, drop=drop)
    return copy


def _configs(config: str) -> st.SearchStrategy[str]:
    """A label config, broken, blown up, or odd."""
    cut = st.integers(0, max(len(config), 1)).map(lambda at: config[:at])
    other = st.tuples(st.integers(0, max(len(config), 1)), st.sampled_from(['"', "<", "&", ">", "\x00", "\ud83d", " "]))
    typed = other.map(lambda change: config[: change[0]] + change[1] + config[change[0] :])
    attributes = st.sampled_from([(old, new) for old in ('"topic"', '"message"', "single", "$text", "Choices", "Text")
                                  for new in ("", '""', "$", "multiple", "Choices", PLANTED)])  # fmt: skip
    renamed = attributes.map(lambda change: config.replace(*change))
    return st.one_of(cut, typed, renamed, st.sampled_from(ODD_CONFIGS))


def _view(*parts: str) -> str:
    return f'<View><Text name="message" value="$text"/>{"".join(parts)}</View>'


def _control(inside: str, attributes: str = "", name: str = "topic") -> str:
    return f'<Choices name="{name}" toName="message" {attributes}>{inside}</Choices>'


def _listed(n: int) -> str:
    return "".join(f'<Choice value="{PLANTED} {number}"/>' for number in range(n))


ODD_CONFIGS = [
    "", "<View/>", "<View></View>" * 2, "<a:b/>", f"<?xml version='1.0' encoding='{PLANTED}'?><View/>", "\ufeff<View/>",
    "<?xml version='1.0' encoding='utf-16'?><View/>", f"<View><![CDATA[{PLANTED}]]></View>", f"<?{PLANTED} ?><View/>",
    '<!DOCTYPE v [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><View>&b;&b;&b;</View>',
    '<!DOCTYPE v [<!ENTITY e SYSTEM "file:///etc/passwd">]><View>&e;</View>', "<View>&nbsp;&#0;</View>", f"<{PLANTED}>",
    "<!DOCTYPE v SYSTEM 'http://127.0.0.1:1/x.dtd'><View/>", _view(_control("")),
    _view(_control(_listed(2), 'choice=""')),
    _view(_control(_listed(MANY_LABELS))), _view(_control(_listed(2) * 2)), _view(_control('<Choice value="other"/>')),
    _view(_control(_listed(2)), _control(_listed(2), name="b")), _view(_control("<Choice/>")),
    _view(*(_control(_listed(2), name=f"c{n}") for n in range(1_000))),
    _view(*(_control("", 'value="$prelabel_top"', name=f"c{n}") for n in range(500)),
          _control(_listed(500), name="label_set")),
    "<View>" * DEEP + "</View>" * DEEP, '<View style="display:none">' * DEEP + "</View>" * DEEP,
    "<View visibleWhen='x'>" * DEEP + "</View>" * DEEP,
    _view(_control("<Choice value='a'>" * DEEP + "</Choice>" * DEEP)),
    _view('<Choices name="c" toName="message">' * 90 + _listed(MANY_LABELS) + "</Choices>" * 90),
    f'<View {" ".join(f"a{n}={chr(34)}{chr(34)}" for n in range(5_000))}/>', _view(f"<!-- {PLANTED * 100_000} -->"),
    _view(_control(f'<Choice value="{PLANTED * 50_000}"/>')),
    _view(_control("<Choice value='\U0001f621' hint='\u202e'/>")),
]  # fmt: skip


def mostly(draw: st.DrawFn, times: int = 15) -> bool:
    """True so many times as often as false; integers would be at their ends too often."""
    return draw(st.sampled_from((True,) * times + (False,)))
