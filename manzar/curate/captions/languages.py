"""Languages by their codes, names and scripts, and the one form in which caption text is kept."""

from __future__ import annotations

import re
import unicodedata

from manzar.nouns import UsageError

# fmt: off
NAMES: dict[str, str] = {  # code to English name: those that column headings and prompts are likely to speak of
    "am": "Amharic", "ar": "Arabic", "bn": "Bengali", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek",
    "en": "English", "es": "Spanish", "fa": "Persian", "fi": "Finnish", "fr": "French", "gu": "Gujarati",
    "he": "Hebrew", "hi": "Hindi", "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian", "it": "Italian",
    "ja": "Japanese", "ka": "Georgian", "km": "Khmer", "kn": "Kannada", "ko": "Korean", "lo": "Lao", "ml": "Malayalam",
    "mr": "Marathi", "ms": "Malay", "my": "Burmese", "ne": "Nepali", "nl": "Dutch", "no": "Norwegian",
    "pa": "Punjabi", "pl": "Polish", "ps": "Pashto", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sd": "Sindhi", "si": "Sinhala", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "te": "Telugu", "th": "Thai",
    "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}
ALIASES = {  # other names of the same: three-letter codes, and what people call their own language
    "eng": "en", "zho": "zh", "chi": "zh", "hin": "hi", "urd": "ur", "ara": "ar", "fra": "fr", "deu": "de",
    "spa": "es", "por": "pt", "rus": "ru", "jpn": "ja", "kor": "ko", "mandarin": "zh", "farsi": "fa",
    "中文": "zh", "汉语": "zh", "हिन्दी": "hi", "हिंदी": "hi", "اردو": "ur", "العربية": "ar", "عربي": "ar",
    "فارسی": "fa", "français": "fr", "deutsch": "de", "español": "es", "português": "pt", "русский": "ru",
    "日本語": "ja", "한국어": "ko",
} | {name.lower(): code for code, name in NAMES.items()}
_REST = (  # what else ISO 639-1 has
    "aa ab ae af ak an as av ay az ba be bg bh bi bm bo br bs ca ce ch co cr cu cv cy dv dz ee eo et eu ff fj fo fy "
    "ga gd gl gn gv ha ho hr ht hz ia ie ig ii ik io is iu jv kg ki kj kk kl kr ks ku kv kw ky la lb lg li ln lt lu lv "
    "mg mh mi mk mn mt na nb nd ng nn nr nv ny oc oj om or os pi qu rm rn rw sa sc se sg sh sk sl sm sn so sq sr ss st "
    "su tg ti tk tl tn to ts tt tw ty ug uz ve vo wa wo xh yi yo za zu"
)
_LATIN = "cs da de es fi fr hu id it ms nl no pl pt ro sv sw tr vi"

# Letters of each script, the language taken for it where nothing else tells, and what one letter weighs: a few kana
# decide between Japanese and Chinese, and a Han character says about as much as three letters.
_SCRIPTS: tuple[tuple[str, str, int, str], ...] = (
    ("kana", "ja", 1000, r"\u3041-\u30fa"), ("hangul", "ko", 1, r"\uac00-\ud7af"),
    ("han", "zh", 3, r"\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0003134f"),
    ("devanagari", "hi", 1, r"\u0900-\u0963\u0970-\u097f"), ("bengali", "bn", 1, r"\u0980-\u09ff"),
    ("gurmukhi", "pa", 1, r"\u0a00-\u0a7f"), ("gujarati", "gu", 1, r"\u0a80-\u0aff"),
    ("tamil", "ta", 1, r"\u0b80-\u0bff"), ("telugu", "te", 1, r"\u0c00-\u0c7f"), ("kannada", "kn", 1, r"\u0c80-\u0cff"),
    ("malayalam", "ml", 1, r"\u0d00-\u0d7f"), ("sinhala", "si", 1, r"\u0d80-\u0dff"),
    ("thai", "th", 1, r"\u0e00-\u0e7f"), ("lao", "lo", 1, r"\u0e80-\u0eff"), ("burmese", "my", 1, r"\u1000-\u109f"),
    ("georgian", "ka", 1, r"\u10a0-\u10ff"), ("ethiopic", "am", 1, r"\u1200-\u137f"),
    ("khmer", "km", 1, r"\u1780-\u17ff"),
    ("arabic", "ar", 1, r"\u0620-\u065f\u066e-\u06d3\u06fa-\u06ff\u0750-\u077f\ufb50-\ufefc"),
    ("hebrew", "he", 1, r"\u05d0-\u05ea"), ("cyrillic", "ru", 1, r"\u0400-\u04ff"),
    ("greek", "el", 1, r"\u0370-\u03ff"), ("armenian", "hy", 1, r"\u0530-\u058f"),
    ("latin", "en", 1, r"A-Za-z\u00c0-\u024f\u1e00-\u1eff"),
)
# Scripts of languages that share one with others or use several; all else is taken from _SCRIPTS or not judged.
_WRITTEN_IN = {
    "ja": {"kana", "han"}, "ur": {"arabic"}, "fa": {"arabic"}, "ps": {"arabic"}, "mr": {"devanagari"},
    "ne": {"devanagari"}, "uk": {"cyrillic"}, "pa": {"gurmukhi", "arabic"}, "sd": {"arabic", "devanagari"},
} | {code: {"latin"} for code in _LATIN.split()}
# fmt: on
_CODES = frozenset([*NAMES, *_REST.split()])
_SCRIPT_OF = {language: script for script, language, _, _ in _SCRIPTS}
_COUNTERS = tuple((script, weight, re.compile(f"[{letters}]")) for script, _, weight, letters in _SCRIPTS)

# All write ا ب ت …, so it is the few letters that only one of them has which decide.
_URDU = re.compile("[ٹڈڑںےۓہھۂۃ]")
_URDU_OR_PERSIAN = re.compile("[کیگچپژ]")
_ARABIC = re.compile("[كيىةإأؤ]")
_ARABIC_FOR_SURE = re.compile("[كيىة]")
_PERSIAN = re.compile(r"ه|\b(است|را|می)\b")  # Urdu has ہ for ه, and other words

# Words so common that a sentence hardly does without them, and that English has not.
_LATIN_WORDS = {
    "fr": "le la les un une des du et est dans sur avec qui au aux",
    "de": "der die das ein eine einen und ist auf mit im dem den zu",
    "es": "el la los las un una y en con de del que se por su",
    "pt": "o os um uma e em com do da no na que se ao",
    "it": "il lo la gli un una e di che con su nel della si",
    "nl": "de het een en van op met zijn in naar die",
    "tr": "bir ve bu ile üzerinde doğru olan",
    "id": "yang di dan sebuah seorang dengan ke sedang",
    "en": "the a an and is in on with of to at from are",
}
_COMMON = {language: frozenset(words.split()) for language, words in _LATIN_WORDS.items()}

# Marks that only set a direction: worthless at the ends of a text, and often left there by copying from a page.
_DIRECTION = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
_CODE = re.compile(r"([a-z]{2,3})((?:-[a-z0-9]{2,8})*)")


def nfc(text: str) -> str:
    """One form for names and captions that look the same; macOS stores the names of files decomposed."""
    return unicodedata.normalize("NFC", text)


def clean(value: object) -> str:
    """Text as a caption is kept: NFC, single spaces, no direction marks at its ends; joiners inside stay.

    Zero-width joiners (U+200C, U+200D) are spelling in Persian, Urdu and Hindi and are never touched.
    """
    if value is None:
        return ""
    text = " ".join(nfc(str(value)).replace("\x00", " ").split())
    return text.strip(_DIRECTION + " ")


def language_code(name: str) -> str | None:
    """The code that `name` stands for: "ur", "UR", "ur-PK", "urd", "Urdu" and "اردو" are all "ur"; None if unknown.

    A region is dropped (en-US is English), a script is kept (zh-Hant is not zh).
    """
    spoken = clean(name).lower()
    if spoken in ALIASES:
        return ALIASES[spoken]
    match = _CODE.fullmatch(spoken.replace("_", "-"))
    if match is None:
        return None
    first = ALIASES.get(match[1], match[1])
    if first not in _CODES:
        return None
    script = next((part for part in match[2].split("-") if len(part) == 4 and part.isalpha()), "")
    return f"{first}-{script}" if script else first


def language_name(code: str) -> str:
    """How to speak of a language in English, for a prompt or a report; the code itself where no name is known."""
    first, _, script = code.partition("-")
    name = NAMES.get(first, first)
    return f"{name} ({script.capitalize()} script)" if script else name


def asked_languages(names: str) -> tuple[str, ...]:
    """Codes of a comma-separated list such as "en, ur". Raises UsageError for what is no language, or for none."""
    codes: list[str] = []
    for name in filter(None, (part.strip() for part in names.split(","))):
        code = language_code(name)
        if code is None:
            raise UsageError(f'"{name}" is no language that is known here; use codes such as en, zh, hi, ur, ar')
        codes.append(code)
    if not codes:
        raise UsageError("no language was asked for; use codes such as en, zh, hi, ur, ar")
    return tuple(dict.fromkeys(codes))


def scripts_of(language: str) -> set[str]:
    """The scripts that a language is written in, as `script_of` names them; none where that is not known here."""
    own = _SCRIPT_OF.get(language)
    return _WRITTEN_IN.get(language, {own} if own else set())


def script_of(text: str) -> str:
    """The script that most of `text` is written in, such as "latin" or "arabic"; "" where it has no letters."""
    if text.isascii():
        return "latin" if any(letter.isalpha() for letter in text) else ""
    counts = {script: weight * len(letters.findall(text)) for script, weight, letters in _COUNTERS}
    best = max(counts, key=lambda script: counts[script])
    return best if counts[best] else ""


def detect_language(text: str) -> str:
    """Language code of `text` by its script, and where several share one, by their own letters or commonest words.

    Marathi comes out as "hi" and a Latin-written language without the words known here as "en": say the language
    where that matters.
    """
    script = script_of(text)
    if script == "arabic":
        return _by_arabic_letters(text)
    if script == "cyrillic":
        return "uk" if re.search("[іїєґІЇЄҐ]", text) else "ru"
    if script in ("latin", ""):
        return _by_common_words(text)
    return next(language for name, language, _, _ in _SCRIPTS if name == script)


def contradiction(text: str, language: str) -> str | None:
    """The language that `text` is in by its script, where that cannot be `language`; None where nothing is wrong.

    Of languages in one script only Arabic against Urdu and Persian is judged, by letters that the others lack.
    """
    script, first = script_of(text), language.partition("-")[0]
    written_in = scripts_of(first)
    if not script or not written_in:
        return None
    if script not in written_in:
        return detect_language(text)
    if script == "arabic" and first in ("ur", "fa", "ar"):
        own = bool(_URDU.search(text) or _URDU_OR_PERSIAN.search(text))
        foreign = bool(_ARABIC_FOR_SURE.search(text))
        if own != foreign and own == (first == "ar"):
            return _by_arabic_letters(text)
    return None


def _by_arabic_letters(text: str) -> str:
    urdu, shared, arabic = (len(letters.findall(text)) for letters in (_URDU, _URDU_OR_PERSIAN, _ARABIC))
    if urdu + shared <= arabic:
        return "ar"
    return "fa" if not urdu and _PERSIAN.search(text) else "ur"


def _by_common_words(text: str) -> str:
    words = re.findall(r"[^\W\d_]+", text.lower())
    counts = {language: sum(word in common for word in words) for language, common in _COMMON.items()}
    best = max(counts, key=lambda language: counts[language])
    return best if counts[best] >= 2 and counts[best] > counts["en"] else "en"
