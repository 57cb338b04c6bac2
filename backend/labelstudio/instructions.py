"""The instructions of a project: a guideline in Markdown as the HTML that Label Studio shows.

Nothing of a guideline becomes more than text, lists, tables and links: HTML in it is shown as it
is written, and pictures, which a browser would fetch from elsewhere, stay links.
"""

from markdown_it import MarkdownIt

# Label Studio's own style sheet takes these away, and it stores no style attributes.
STYLE = (
    ".guideline p { margin: 0.5em 0 } .guideline ul { list-style: disc; padding-left: 1.5em }"
    " .guideline ol { list-style: decimal; padding-left: 1.5em }"
    " .guideline h1, .guideline h2, .guideline h3 { margin: 1em 0 0.3em }"
    " .guideline td, .guideline th { border: 1px solid #ccc; padding: 0.2em 0.5em }"
)


def instruction_html(guideline: str) -> str:
    """A guideline as safe HTML."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    return f'<style>{STYLE}</style><div class="guideline">{reader.render(guideline)}</div>'
