"""What annotators see of a guideline that was written in Markdown."""

import pytest

from backend.labelstudio.instructions import instruction_html

CASES = [
    ("a heading", "## Orders", ">Orders</h2>"),
    ("the points of a list", "- one", ".guideline ul { list-style: disc;"),
    ("bold words and a name", "**One** `label`", "<strong>One</strong> <code>label</code>"),
    ("a list", "1. one\n2. two", "<li>one</li>\n<li>two</li>\n</ol>"),
    ("a table", "| a | b |\n|---|---|\n| 1 | 2 |", ">1</td>"),
    ("a link", "[rules](https://a.example/r)", '<a href="https://a.example/r">rules</a>'),
    (
        "HTML, as it is written",
        "<script>alert(1)</script>",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
    ),
    ("a link that runs", "[x](javascript:alert(1))", ">[x](javascript:alert(1))</p>"),
    (
        "a picture from elsewhere",
        "![x](https://a.example/x.png)",
        '!<a href="https://a.example/x.png">x</a>',
    ),
]


@pytest.mark.parametrize(("case", "markdown", "html"), CASES)
def test_a_guideline_is_shown_as_text_and_never_runs(case: str, markdown: str, html: str) -> None:
    assert html in instruction_html(markdown)
