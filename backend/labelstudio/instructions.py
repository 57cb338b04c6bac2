"""The instructions of a project: a guideline in Markdown as the HTML that Label Studio shows.

Nothing of a guideline becomes more than text, lists, tables and links: HTML in it is shown as it
is written, and pictures, which a browser would fetch from elsewhere, stay links.
"""

from markdown_it import MarkdownIt

STYLES = {  # Label Studio's own style sheet takes these away from lists, tables and paragraphs
    "p": "margin: 0.5em 0",
    "h1": "margin: 1em 0 0.3em; font-weight: 600",
    "h2": "margin: 1em 0 0.3em; font-weight: 600",
    "h3": "margin: 0.8em 0 0.3em; font-weight: 600",
    "ul": "list-style: disc; padding-left: 1.5em",
    "ol": "list-style: decimal; padding-left: 1.5em",
    "td": "border: 1px solid #ccc; padding: 0.2em 0.5em",
    "th": "border: 1px solid #ccc; padding: 0.2em 0.5em",
}


def instruction_html(guideline: str) -> str:
    """A guideline as safe HTML."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    tokens = reader.parse(guideline)
    for token in tokens:
        if token.nesting > 0 and token.tag in STYLES:
            token.attrSet("style", STYLES[token.tag])
    return str(reader.renderer.render(tokens, reader.options, {}))
