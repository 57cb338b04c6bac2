"""How near unrelated texts are to each other, which differs much between embedders: measured on texts of our own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from backend.core.types import FloatArray

NEUTRAL = {  # no two about the same thing; short and long, questions and statements, as texts to be labelled are
    "en": (
        "where is my parcel, it should have been here on monday",
        "what will the weather be like this weekend",
        "please turn off the lights in the kitchen",
        "how do i reset the password of my account",
        "the soup was cold and the waiter ignored us",
        "a new species of frog was found in the rain forest",
        "play something by a jazz quartet",
        "the central bank left its key rate unchanged",
        "my left knee hurts when i climb stairs",
        "book a table for four at eight tonight",
        "the home team lost in the last minute of the match",
        "how many calories are there in a banana",
        "translate good morning into japanese",
        "the battery of this laptop lasts only an hour",
        "add milk and eggs to the shopping list",
        "is the museum open on public holidays",
        "the actor won a prize for his first film",
        "i would like to cancel my gym membership",
        "set an alarm for half past six",
        "the bridge will be closed for repairs until march",
        "what is the square root of two hundred",
        "our neighbours' dog barks all night long",
        "who wrote the novel about the white whale",
        "the dress is too tight and the colour has faded",
    ),
    "ru": (
        "где моя посылка, её обещали привезти в понедельник",
        "какая погода будет в выходные",
        "выключи, пожалуйста, свет на кухне",
        "как восстановить пароль от личного кабинета",
        "суп принесли холодным, официант нас не замечал",
        "в тропическом лесу нашли новый вид лягушек",
        "включи что-нибудь из джаза",
        "центральный банк сохранил ключевую ставку",
        "болит левое колено, когда поднимаюсь по лестнице",
        "забронируй столик на четверых на восемь вечера",
        "хозяева поля проиграли на последней минуте матча",
        "сколько калорий в одном банане",
        "переведи доброе утро на японский",
        "аккумулятора этого ноутбука хватает только на час",
        "добавь молоко и яйца в список покупок",
        "работает ли музей в праздничные дни",
        "актёр получил приз за свой первый фильм",
        "хочу отказаться от абонемента в спортзал",
        "поставь будильник на половину седьмого",
        "мост закроют на ремонт до марта",
        "чему равен корень из двухсот",
        "собака соседей лает всю ночь напролёт",
        "кто написал роман о белом ките",
        "платье мало, а цвет после стирки поблёк",
    ),
}


@dataclass(frozen=True, slots=True)
class Unrelated:
    """Cosines between texts that have nothing to do with each other."""

    floor: float  # their mean
    spread: float  # their standard deviation, never 0


def unrelated_cosines(encode: Callable[[Sequence[str]], FloatArray], languages: Sequence[str]) -> Unrelated:
    """Measured between texts of one language each; of English where none of `languages` is known here."""
    cosines = []
    for texts in _known(languages):
        vectors = encode(texts)
        cosines.append((vectors @ vectors.T)[np.triu_indices(len(vectors), k=1)])
    every = np.concatenate(cosines)
    return Unrelated(float(every.mean()), max(float(every.std()), 1e-3))


def neutral_mean(encode: Callable[[Sequence[str]], FloatArray], languages: Sequence[str]) -> FloatArray:
    """(dim,): the mean vector of the neutral texts of these languages; of English where none is known here."""
    return np.asarray(np.mean([encode(texts).mean(axis=0) for texts in _known(languages)], axis=0), np.float32)


def _known(languages: Sequence[str]) -> list[Sequence[str]]:
    return [NEUTRAL[language] for language in languages if language in NEUTRAL] or [NEUTRAL["en"]]
