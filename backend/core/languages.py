"""Languages by their ISO 639 codes: which ones a person may name, what they are called, what models read of them.

Knows codes and names; which language a text is in is for the pipeline to tell.
"""

from backend.core.errors import BadInputError

MIXED = "mixed"  # texts in several languages, none of which holds nearly all
UNDETERMINED = "und"  # ISO 639 for a language that nobody could tell
MEASURED = {"embedded": ("en", "ru", "de", "zh")}  # by profile: benchmarks.languages
# The languages that XLM-R, and with it multilingual-e5, was pretrained on: Conneau et al., Unsupervised Cross-lingual
# Representation Learning at Scale (ACL 2020), table 6; written in Latin letters, some of them stand there twice.
READ = {
    "af": "Afrikaans", "am": "Amharic", "ar": "Arabic", "as": "Assamese", "az": "Azerbaijani",
    "be": "Belarusian", "bg": "Bulgarian", "bn": "Bengali", "br": "Breton", "bs": "Bosnian",
    "ca": "Catalan", "cs": "Czech", "cy": "Welsh", "da": "Danish", "de": "German", "el": "Greek",
    "en": "English", "eo": "Esperanto", "es": "Spanish", "et": "Estonian", "eu": "Basque",
    "fa": "Persian", "fi": "Finnish", "fr": "French", "fy": "Western Frisian", "ga": "Irish",
    "gd": "Scottish Gaelic", "gl": "Galician", "gu": "Gujarati", "ha": "Hausa", "he": "Hebrew",
    "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian",
    "is": "Icelandic", "it": "Italian", "ja": "Japanese", "jv": "Javanese", "ka": "Georgian",
    "kk": "Kazakh", "km": "Khmer", "kn": "Kannada", "ko": "Korean", "ku": "Kurdish",
    "ky": "Kirghiz", "la": "Latin", "lo": "Lao", "lt": "Lithuanian", "lv": "Latvian",
    "mg": "Malagasy", "mk": "Macedonian", "ml": "Malayalam", "mn": "Mongolian", "mr": "Marathi",
    "ms": "Malay", "my": "Burmese", "ne": "Nepali", "nl": "Dutch", "no": "Norwegian",
    "om": "Oromo", "or": "Oriya", "pa": "Panjabi", "pl": "Polish", "ps": "Pashto",
    "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sa": "Sanskrit", "sd": "Sindhi",
    "si": "Sinhala", "sk": "Slovak", "sl": "Slovenian", "so": "Somali", "sq": "Albanian",
    "sr": "Serbian", "su": "Sundanese", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil",
    "te": "Telugu", "th": "Thai", "tl": "Tagalog", "tr": "Turkish", "ug": "Uighur",
    "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek", "vi": "Vietnamese", "xh": "Xhosa",
    "yi": "Yiddish", "zh": "Chinese",
}  # fmt: skip
UNSUPPORTED = "not supported: expect little"
NAMES = READ | {MIXED: "several languages", UNDETERMINED: "an unknown language"}


def checked_language(given: str, where: str) -> str:
    """A code as prelabel keeps it, the one of two letters where there is one; empty stays empty.

    Args:
        where: what named it, for the message.

    Raises:
        BadInputError: no code of ISO 639.
    """
    if not given or given in NAMES:
        return given
    import iso639  # the table of 8,000 languages: only rare codes are looked up in it

    if not (given.isascii() and given.islower() and 2 <= len(given) <= 3):
        raise _unknown(given, where)
    try:
        found = iso639.Language.match(given, strict_case=True)
    except iso639.LanguageNotFoundError as err:
        raise _unknown(given, where) from err
    return found.part1 or found.part3


def _unknown(given: str, where: str) -> BadInputError:
    return BadInputError(
        f'{where} must be a code of ISO 639 such as en, ru, de or zh, or "mixed", was {given!r};'
        " leave it empty to have the language detected"
    )


def name_of(language: str) -> str:
    """In English; "German" for de."""
    if language in NAMES:
        return NAMES[language]
    import iso639

    return str(iso639.Language.match(language).name)


def quality_of(language: str, profile: str) -> str:
    """What is known of how well a profile's models read texts of a language."""
    if language == MIXED:
        return "as well as each of them"
    if language in MEASURED.get(profile, ()):
        return "measured"
    return "supported by the model" if language in READ else UNSUPPORTED
