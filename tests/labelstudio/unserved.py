"""Label configs that prelabel does not serve, with what doctor says about each: found, and what to do."""

from typing import NamedTuple

TEXT = '<Text name="t" value="$text"/>'
TWO = '<Choice value="a"/><Choice value="b"/>'
WRITES = "`prelabel label-config` writes a config that works"


class Unserved(NamedTuple):
    """A config, and the sentences about it."""

    shape: str
    config: str
    found: str
    remedy: str


def view(*parts: str) -> str:
    return f"<View>{''.join(parts)}</View>"


def choices(inside: str = TWO, attributes: str = "", *, name: str = "c", to_name: str = "t") -> str:
    return f'<Choices name="{name}" toName="{to_name}" {attributes}>{inside}</Choices>'


NO_CHOICES = "label config has no Choices tag over a Text or Paragraphs"
FLAT = f"list the labels in a flat Choices; {WRITES}"
ONE_TEXT = "point toName at the one Text or Paragraphs that holds the text; pictures, sound and HTML are not read"
WHOLE = "remove perRegion and perItem; parts of a text are not predicted"
ONE_KEY = "name one column of the data; a Repeater and several columns at once are not read"
OTHER_KEY = (
    'write value="$text", and import the data again: `prelabel import --text COLUMN` puts the column under the key'
    " that the config reads, and an export gives it its name back"
)

UNSERVED = [
    Unserved("nothing", view(), NO_CHOICES, FLAT),
    Unserved("a text alone", view(TEXT), NO_CHOICES, FLAT),
    Unserved("Taxonomy", view(TEXT, f'<Taxonomy name="c" toName="t">{TWO}</Taxonomy>'),
             f"{NO_CHOICES}; it has Taxonomy 'c'", FLAT),
    Unserved("Rating", view(TEXT, '<Rating name="stars" toName="t"/>'), f"{NO_CHOICES}; it has Rating 'stars'", FLAT),
    Unserved("spans", view(TEXT, '<Labels name="c" toName="t"><Label value="a"/></Labels>'),
             f"{NO_CHOICES}; it has Labels 'c'", FLAT),
    Unserved("a free text", view(TEXT, '<TextArea name="c" toName="t"/>'), f"{NO_CHOICES}; it has TextArea 'c'", FLAT),
    Unserved("a number", view(TEXT, '<Number name="c" toName="t"/>'), f"{NO_CHOICES}; it has Number 'c'", FLAT),
    Unserved("Pairwise", view(TEXT, '<Text name="u" value="$other"/>', '<Pairwise name="c" toName="t,u"/>'),
             f"{NO_CHOICES}; it has Pairwise 'c'", FLAT),
    Unserved("Ranker", view('<List name="l" value="$items"/>', '<Ranker name="c" toName="l"/>'),
             f"{NO_CHOICES}; it has Ranker 'c'", FLAT),
    Unserved("several answers", view(TEXT, choices(attributes='choice="multiple"')),
             "Choices 'c' must have choice single or single-radio; it has 'multiple'",
             'set choice="single" if one label a text will do; several at once are not predicted'),
    Unserved("nested", view(TEXT, choices(f'<Choice value="x">{TWO}</Choice>')),
             "Choices 'c' must be a flat list; it has nested choices",
             f"list the innermost choices flat, with the path in their names where they read alike; {WRITES}"),
    Unserved("per region", view(TEXT, choices(attributes='perRegion="true"')),
             "Choices 'c' must label the whole task; it labels each region or item", WHOLE),
    Unserved("per item", view(TEXT, choices(attributes='perItem="true"')),
             "Choices 'c' must label the whole task; it labels each region or item", WHOLE),
    Unserved("two controls", view(TEXT, choices(), choices(name="d")),
             "label config must have one visible Choices, has 2; set extra_params.control to one of c, d",
             'or write control = "..." into the project\'s settings.toml, or keep one of them'),
    Unserved("dynamic choices of others", view(TEXT, choices("", 'value="$options"')),
             'dynamic Choices \'c\' must read $prelabel_top beside a hidden Choices "label_set"',
             f"write the labels into the config, or use prelabel's own dynamic list; {WRITES}"),
    Unserved("our dynamic list without its labels", view(TEXT, choices("", 'value="$prelabel_top"')),
             'dynamic Choices \'c\' must read $prelabel_top beside a hidden Choices "label_set"',
             f"write the labels into the config, or use prelabel's own dynamic list; {WRITES}"),
    Unserved("shown only sometimes", view(TEXT, choices(attributes='visibleWhen="choice-selected"')),
             "Choices 'c' must always be shown; it has visibleWhen, or a view around it has",
             "remove visibleWhen; prelabel ticks before anything is answered"),
    Unserved("in a view that is shown only sometimes",
             view(TEXT, f'<View visibleWhen="choice-selected">{choices()}</View>'),
             "Choices 'c' must always be shown; it has visibleWhen, or a view around it has",
             "remove visibleWhen; prelabel ticks before anything is answered"),
    Unserved("over a picture", view('<Image name="t" value="$image"/>', choices()),
             "Choices 'c' must label a Text or Paragraphs; its toName is 't'", ONE_TEXT),
    Unserved("over HTML", view('<HyperText name="t" value="$html"/>', choices()),
             "Choices 'c' must label a Text or Paragraphs; its toName is 't'", ONE_TEXT),
    Unserved("over two texts", view(TEXT, '<Text name="u" value="$other"/>', choices(to_name="t,u")),
             "Choices 'c' must label a Text or Paragraphs; its toName is 't,u'", ONE_TEXT),
    Unserved("a text behind a link", view('<Text name="t" value="$url" valueType="url"/>', choices()),
             "Text 't' must hold its text in the task's data, not behind a link",
             'import the text itself and remove valueType="url"; links are not fetched'),
    Unserved("a conversation behind a link", view('<Paragraphs name="t" value="$url" valueType="url"/>', choices()),
             "Paragraphs 't' must hold its text in the task's data, not behind a link",
             'import the text itself and remove valueType="url"; links are not fetched'),
    Unserved("a Repeater",
             '<View><Repeater on="$turns" indexFlag="{{i}}"><Text name="t{{i}}" value="$turns[{{i}}].text"/>'
             f"{choices(name='c{{i}}', to_name='t{{i}}')}</Repeater></View>",
             "Text 't{{i}}' must take its value from the task's data, as in value=\"$text\";"
             " it has '$turns[{{i}}].text'",
             ONE_KEY),
    Unserved("a text that is written out", view('<Text name="t" value="hello"/>', choices()),
             "Text 't' must take its value from the task's data, as in value=\"$text\"; it has 'hello'", ONE_KEY),
    Unserved("a key that the editor cannot read", view('<Text name="t" value="$Текст"/>', choices()),
             "Text 't' must read a key of A-Z, a-z, 0-9, _ and dots; it reads '$Текст', and the editor shows these"
             " letters in place of the text", OTHER_KEY),
    Unserved("two columns at once", view('<Text name="t" value="$a $b"/>', choices()),
             "Text 't' must take its value from the task's data, as in value=\"$text\"; it has '$a $b'", ONE_KEY),
    Unserved("a choice from task data", view(TEXT, choices('<Choice value="$a"/><Choice value="b"/>')),
             "every Choice of 'c' must be a label; '$a' names task data, which the editor puts in its place",
             f"correct its choices; {WRITES}"),
    Unserved("a choice partly from task data", view(TEXT, choices('<Choice value="Pay $5"/><Choice value="b"/>')),
             "every Choice of 'c' must be a label; 'Pay $5' names task data, which the editor puts in its place",
             f"correct its choices; {WRITES}"),
    Unserved("no label", view(TEXT, choices("")),
             "Choices 'c' must hold at least one Choice; it has none", f"correct its choices; {WRITES}"),
    Unserved("the same label twice", view(TEXT, choices('<Choice value="a"/><Choice value="a"/>')),
             "the choices of 'c' must differ; some stand twice", f"correct its choices; {WRITES}"),
]  # fmt: skip
