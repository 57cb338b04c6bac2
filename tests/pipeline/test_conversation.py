"""What stands around a message in a conversation, as chat templates say."""

import pytest

from backend.core.errors import ArtefactError
from backend.pipeline.conversation import Frame, frame_of

LOOP = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
REFUSING = f"{LOOP}<{{{{ m.role }}}}>{{{{ m.content }}}}</{{{{ m.role }}}}>{{% endfor %}}<model>"
KNOWING = (
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.mark.parametrize(
    ("case", "template", "system", "frame"),
    [
        ("a system part", KNOWING, "Sort.", Frame("<|system|>Sort.<|end|><|user|>", "<|end|><|assistant|>")),
        ("nothing to say before", KNOWING, "", Frame("<|user|>", "<|end|><|assistant|>")),
        ("no system part", REFUSING, "Sort.", Frame("<user>Sort.\n\n", "</user><model>")),
        ("blanks of a block", "  {% if true %}\n[{{ messages[0].content }}]\n  {% endif %}\n", "", Frame("[", "]\n")),
    ],
)
def test_a_frame_is_what_the_template_writes_around_a_message(
    case: str, template: str, system: str, frame: Frame
) -> None:
    assert frame_of(template, model="m", system=system) == frame


@pytest.mark.parametrize(
    ("case", "template", "trouble"),
    [
        ("none", "", "must carry a chat template to be asked in a conversation, has none"),
        ("no template", "{% for", "must write a message down, but fails"),
        ("refuses everybody", "{{ raise_exception('no') }}", "must write a message down, but fails"),
        ("the message is left out", "hello", "must show a message once, but does not"),
        ("twice", "{{ messages[0].content }}{{ messages[0].content }}", "must show a message once, but does not"),
        ("a way out of the sandbox", "{{ ''.__class__.__mro__ }}", "must write a message down, but fails"),
        ("without end", "{% for n in range(1000000000) %}x{% endfor %}", "must write a message down, but fails"),
        ("no number", "{{ 1 / 0 }}", "must write a message down, but fails"),
        ("more than it is given", "{{ messages[3].content }}", "must write a message down, but fails"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(case: str, template: str, trouble: str) -> None:
    with pytest.raises(ArtefactError, match=f"m.* {trouble}.*; take other weights, or ask without it"):
        frame_of(template, model="m")
