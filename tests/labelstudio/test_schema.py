"""Which label configs are served, with which labels; why the others are not."""

import pytest

from backend.core.errors import BadInputError, LabelConfigError
from backend.core.types import Label
from backend.labelstudio.schema import Control, Unusable, label_space, read_config

TEXT = '<Text name="t" value="$text"/>'
TWO = '<Choice value="a"/><Choice value="b"/>'
PLAIN = f'<View>{TEXT}<Choices name="c" toName="t">{TWO}</Choices></View>'
LABEL_SET = f'<View style="display: none"><Choices name="label_set" toName="t">{TWO}</Choices></View>'


def choices(inside: str, attributes: str = "", *, name: str = "c") -> str:
    return f'<View>{TEXT}<Choices name="{name}" toName="t" {attributes}>{inside}</Choices></View>'


SERVED = [
    ("plain", PLAIN, ("a", "b")),
    ("choice=single", choices(TWO, 'choice="single"'), ("a", "b")),
    ("choice=single-radio", choices(TWO, 'choice="single-radio"'), ("a", "b")),
    ("shown as a select", choices(TWO, 'layout="select"'), ("a", "b")),
    ("the alias travels", choices('<Choice value="Yes" alias="y"/><Choice value="No"/>'), ("y", "No")),
    ("an empty alias is none", choices('<Choice value="Yes" alias=""/><Choice value="No"/>'), ("Yes", "No")),
    ("choices within a view", choices(f"<View>{TWO}</View>"), ("a", "b")),
    ("one choice", choices('<Choice value="a"/>'), ("a",)),
    ("Cyrillic", choices('<Choice value="доставка"/><Choice value="возврат"/>'), ("доставка", "возврат")),
    ("escaped signs", choices('<Choice value="R&amp;D &lt;1&gt;"/>'), ("R&D <1>",)),
    ("150 labels", choices("".join(f'<Choice value="l{i}"/>' for i in range(150))), tuple(f"l{i}" for i in range(150))),
    ("an XML declaration", '<?xml version="1.0" encoding="utf-8"?>' + PLAIN, ("a", "b")),
    ("a comment", PLAIN.replace("<Choices", "<!-- why --><Choices"), ("a", "b")),
    ("a conversation", PLAIN.replace("Text", "Paragraphs"), ("a", "b")),
    ("a hidden control beside", PLAIN.replace("</View>", LABEL_SET + "</View>"), ("a", "b")),
    ("an invisible control beside", PLAIN.replace("</View>", PLAIN[6:].replace("<Choices", '<Choices visible="false"')),
     ("a", "b")),
    ("a control of another kind beside", PLAIN.replace("</View>", '<TextArea name="n" toName="t"/></View>'),
     ("a", "b")),
    ("one control over an image beside",
     PLAIN.replace("</View>", f'<Image name="i" value="$i"/><Choices name="d" toName="i">{TWO}</Choices></View>'),
     ("a", "b")),
    ("dynamic, our own",
     f'<View>{TEXT}<Choices name="c" toName="t" value="$prelabel_top"/>{LABEL_SET}</View>', ("a", "b")),
]  # fmt: skip


@pytest.mark.parametrize(("config", "values"), [row[1:] for row in SERVED], ids=[row[0] for row in SERVED])
def test_these_configs_are_served_with_these_labels(config: str, values: tuple[str, ...]) -> None:
    control = read_config(config)
    assert isinstance(control, Control), control
    assert control.space.values == values
    assert (control.from_name, control.to_name, control.text_key) == ("c", "t", "text")


NOT_SERVED = [
    ("an empty view", "<View></View>", "label config has no Choices tag"),
    ("no Choices", f'<View>{TEXT}<TextArea name="n" toName="t"/></View>', "label config has no Choices tag"),
    ("Taxonomy", f'<View>{TEXT}<Taxonomy name="c" toName="t">{TWO}</Taxonomy></View>', "has no Choices tag"),
    ("only a hidden control", f"<View>{TEXT}{LABEL_SET}</View>", "has no Choices tag"),
    ("no Text", f'<View><Choices name="c" toName="t">{TWO}</Choices></View>', "must label a Text or Paragraphs"),
    ("Choices over an image", f'<View><Image name="t" value="$i"/><Choices name="c" toName="t">{TWO}</Choices></View>',
     "must label a Text or Paragraphs"),
    ("Choices over nothing", f'<View>{TEXT}<Choices name="c">{TWO}</Choices></View>', "its toName is ''"),
    ("Choices over two", f'<View>{TEXT}<Choices name="c" toName="t,u">{TWO}</Choices></View>', "toName is 't,u'"),
    ("choice=multiple", choices(TWO, 'choice="multiple"'), "must have choice single or single-radio"),
    ("per region", choices(TWO, 'perRegion="true"'), "must label the whole task"),
    ("per item", choices(TWO, 'perItem="true"'), "must label the whole task"),
    ("nested", choices('<Choice value="a"><Choice value="b"/></Choice>'), "must be a flat list"),
    ("empty", choices(""), "must hold at least one Choice"),
    ("a choice without value", choices('<Choice value="a"/><Choice/>'), "must have a value"),
    ("a choice with an empty value", choices('<Choice value="a"/><Choice value=""/>'), "must have a value"),
    ("the same choice twice", choices('<Choice value="a"/><Choice value="a"/>'), "must differ"),
    ("an alias that is another's value", choices('<Choice value="a" alias="b"/><Choice value="b"/>'), "must differ"),
    ("dynamic, someone else's", choices("", 'value="$mine"'), r"must read \$prelabel_top"),
    ("dynamic, without its labels", choices("", 'value="$prelabel_top"'), "hidden Choices"),
    ("dynamic, labels of another kind",
     f'<View>{TEXT}<Choices name="c" toName="t" value="$prelabel_top"/><TextArea name="label_set" toName="t"/></View>',
     "hidden Choices"),
    ("a text without its key", PLAIN.replace('value="$text"', ""), "take its value from the task's data"),
    ("a text that is written out", PLAIN.replace("$text", "hello"), "take its value from the task's data"),
    ("a text behind a link", PLAIN.replace('value="$text"', 'value="$text" valueType="url"'), "not behind a link"),
    ("two controls", PLAIN.replace("</View>", PLAIN[6:].replace('name="c"', 'name="d"')),
     "one visible Choices, has 2; set extra_params.control to one of c, d"),
]  # fmt: skip


@pytest.mark.parametrize(("config", "reason"), [row[1:] for row in NOT_SERVED], ids=[row[0] for row in NOT_SERVED])
def test_these_configs_are_not_served_and_say_why(config: str, reason: str) -> None:
    found = read_config(config)
    assert isinstance(found, Unusable), found
    with pytest.raises(BadInputError, match=reason):
        label_space(config)


def test_of_several_controls_one_can_be_named() -> None:
    config = PLAIN.replace("</View>", PLAIN[6:].replace('name="c"', 'name="d"'))
    named = read_config(config, control="d")
    assert isinstance(named, Control)
    assert named.from_name == "d"
    unknown = read_config(config, control="e")
    assert isinstance(unknown, Unusable)
    assert "'e'" in unknown.reason


BROKEN = [
    ("not XML", "Choices", "well-formed XML; broken at line 1 column 0"),
    ("nothing", "", "well-formed XML"),
    ("an open tag", "<View>\n  <Text>", "well-formed XML; broken at line 2"),
    ("two roots", "<View/><View/>", "well-formed XML"),
    ("a bare ampersand", '<View><Choice value="R&D"/></View>', "well-formed XML"),
    ("a NUL character", "<View>\x00</View>", "well-formed XML"),
    ("half of a surrogate pair", "<View>\ud800</View>", "well-formed XML"),
    ("a DTD", '<!DOCTYPE View SYSTEM "http://example.com/x.dtd"><View/>', "no DTD"),
    ("an entity", '<!DOCTYPE v [<!ENTITY e "x">]><View>&e;</View>', "no DTD and no entities"),
    ("an entity that reads a file", '<!DOCTYPE v [<!ENTITY e SYSTEM "file:///etc/passwd">]><View>&e;</View>',
     "no DTD and no entities"),
    ("views in views without end", "<View>" * 3_000 + "</View>" * 3_000, "nest at most 100 deep"),
]  # fmt: skip


@pytest.mark.parametrize(("config", "reason"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_broken_xml_is_refused_with_the_place(config: str, reason: str) -> None:
    with pytest.raises(LabelConfigError, match=reason):
        read_config(config)


def test_many_controls_over_one_list_of_many_labels_are_read_as_fast_as_one() -> None:
    dynamic = "".join(f'<Choices name="c{n}" toName="t" value="$prelabel_top"/>' for n in range(2_000))
    labels = "".join(f'<Choice value="{n}"/>' for n in range(2_000))
    hidden = f'<View style="display:none"><Choices name="label_set" toName="t">{labels}</Choices></View>'
    found = read_config(f"<View>{TEXT}{dynamic}{hidden}</View>")  # took a minute once
    assert isinstance(found, Unusable)
    assert "must have one visible Choices, has 2000" in found.reason


def test_a_label_is_read_with_its_name_and_its_hint() -> None:
    space = label_space(choices('<Choice value="Cancel order" alias="cancel" hint="stop a purchase"/>'))
    assert space.labels == (Label("cancel", "Cancel order", "stop a purchase"),)


OUT_OF_SCOPE = [
    ("oos", '<Choice value="oos"/>', "oos"),
    ("out_of_scope", '<Choice value="out_of_scope"/>', "out_of_scope"),
    ("Other", '<Choice value="Other"/>', "Other"),
    ("NONE OF THESE", '<Choice value="NONE  of-these"/>', "NONE  of-these"),
    ("другое", '<Choice value="Другое"/>', "Другое"),
    ("нет товара", '<Choice value="нет товара"/>', "нет товара"),
    ("known by its alias", '<Choice value="Does not fit" alias="oos"/>', "oos"),
    ("known by its name", '<Choice value="Прочее" alias="misc"/>', "misc"),
    ("none that means it", '<Choice value="otherwise"/>', ""),
]


@pytest.mark.parametrize(("choice", "oos"), [row[1:] for row in OUT_OF_SCOPE], ids=[row[0] for row in OUT_OF_SCOPE])
def test_the_choice_that_means_none_of_these_is_guessed_from_its_name(choice: str, oos: str) -> None:
    space = label_space(choices(TWO + choice))
    assert space.oos_value == oos
    assert space.values[:2] == ("a", "b")
    assert oos not in space.values, "out of scope is a decision, not a candidate"


def test_the_guess_can_be_overruled() -> None:
    config = choices(TWO + '<Choice value="other"/>')
    assert label_space(config, oos_label="a").values == ("b", "other")
    control = read_config(config, oos_value="")
    assert isinstance(control, Control)
    assert control.space.values == ("a", "b", "other")
    with pytest.raises(BadInputError, match="must be a choice of the label config, was 'c'"):
        label_space(config, oos_label="c")


def test_a_config_that_shows_the_reason_is_told_from_one_that_does_not() -> None:
    shows = read_config(PLAIN.replace("<Text", '<Header value="$prelabel_why"/><Text'))
    silent = read_config(PLAIN)
    assert isinstance(shows, Control)
    assert isinstance(silent, Control)
    assert (shows.shows_reason, silent.shows_reason) == (True, False)
