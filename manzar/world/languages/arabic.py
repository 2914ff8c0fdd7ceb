"""Arabic: adjectives agree in gender and definiteness, verbs in gender; the first clause begins with its verb.

Subjects stay in the nominative, so that no word needs the written case ending of an indefinite accusative.
"""

from __future__ import annotations

from typing import NamedTuple

from manzar.world.telling import Telling, Thing


class Pair(NamedTuple):
    """A word or phrase in its masculine and feminine forms."""

    m: str
    f: str

    def form(self, gender: str) -> str:
        return self.f if gender == "f" else self.m


NOUNS: dict[str, tuple[str, str]] = {  # noun, gender
    "circle": ("دائرة", "f"),
    "square": ("مربع", "m"),
    "triangle": ("مثلث", "m"),
    "star": ("نجمة", "f"),
    "heart": ("قلب", "m"),
    "ring": ("حلقة", "f"),
    "person": ("شخص", "m"),
    "cat": ("قطة", "f"),
    "fish": ("سمكة", "f"),
    "car": ("سيارة", "f"),
    "boat": ("قارب", "m"),
    "house": ("بيت", "m"),
    "tree": ("شجرة", "f"),
}
COLOURS: dict[str, Pair] = {
    "red": Pair("أحمر", "حمراء"),
    "green": Pair("أخضر", "خضراء"),
    "blue": Pair("أزرق", "زرقاء"),
    "yellow": Pair("أصفر", "صفراء"),
    "orange": Pair("برتقالي", "برتقالية"),
    "purple": Pair("بنفسجي", "بنفسجية"),
    "cyan": Pair("سماوي", "سماوية"),
    "magenta": Pair("فوشي", "فوشية"),
    "white": Pair("أبيض", "بيضاء"),
    "black": Pair("أسود", "سوداء"),
    "gray": Pair("رمادي", "رمادية"),
    "brown": Pair("بني", "بنية"),
}
SIZES = {"small": Pair("صغير", "صغيرة"), "large": Pair("كبير", "كبيرة")}
MOVES = Pair("يتحرك", "تتحرك")
VERBS: dict[str, tuple[Pair, Pair]] = {  # verb, the rest of the clause
    "left": (MOVES, Pair("إلى اليسار", "إلى اليسار")),
    "right": (MOVES, Pair("إلى اليمين", "إلى اليمين")),
    "up": (MOVES, Pair("إلى الأعلى", "إلى الأعلى")),
    "down": (MOVES, Pair("إلى الأسفل", "إلى الأسفل")),
    "up-left": (MOVES, Pair("قطريًا نحو أعلى اليسار", "قطريًا نحو أعلى اليسار")),
    "up-right": (MOVES, Pair("قطريًا نحو أعلى اليمين", "قطريًا نحو أعلى اليمين")),
    "down-left": (MOVES, Pair("قطريًا نحو أسفل اليسار", "قطريًا نحو أسفل اليسار")),
    "down-right": (MOVES, Pair("قطريًا نحو أسفل اليمين", "قطريًا نحو أسفل اليمين")),
    "bounce": (Pair("يقفز", "تقفز"), Pair("إلى الأعلى والأسفل", "إلى الأعلى والأسفل")),
    "orbit": (MOVES, Pair("في مسار دائري", "في مسار دائري")),
    "grow": (Pair("يكبر", "تكبر"), Pair("تدريجيًا", "تدريجيًا")),
    "shrink": (Pair("يصغر", "تصغر"), Pair("تدريجيًا", "تدريجيًا")),
    "spin": (Pair("يدور", "تدور"), Pair("حول نفسه", "حول نفسها")),
    "still": (Pair("يبقى", "تبقى"), Pair("ثابتًا", "ثابتة")),
}
PLACES = {  # as a place, and as a clause
    "gradient": ("على خلفية متدرجة", "والخلفية متدرجة"),
    "sky": ("أمام سماء غائمة", "وفي الخلفية سماء غائمة"),
    "sea": ("أمام البحر", "وفي الخلفية البحر"),
    "grass": ("أمام مرج عشبي", "وفي الخلفية مرج عشبي"),
    "night": ("أمام سماء ليلية مرصعة بالنجوم", "وفي الخلفية سماء ليلية مرصعة بالنجوم"),
}
CAMERAS = {
    "pan left": "تتحرك الكاميرا إلى اليسار",
    "pan right": "تتحرك الكاميرا إلى اليمين",
    "zoom in": "تقترب الكاميرا من المشهد",
    "zoom out": "تبتعد الكاميرا عن المشهد",
}
LOOKS = {
    "outline": "المشهد مرسوم بخطوط خارجية سميكة",
    "pixelated": "المشهد بأسلوب فن البكسل",
    "monochrome": "المشهد بالأبيض والأسود",
    "sepia": "المشهد بدرجات السيبيا",
}
RELATIONS = {"left": "على يسار", "right": "على يمين", "above": "فوق", "below": "تحت"}


def say(told: Telling, phrasing: int) -> str:
    parts = [_moving(told, phrasing) if told.moving else _still(told, phrasing)]
    if told.look:
        parts.append(LOOKS[told.look])
    if told.relation:
        first, second = (name(thing, definite=True) for thing in told.things)
        parts.append(f"{first} {RELATIONS[told.relation]} {second}")
    if told.camera:
        parts.append(CAMERAS[told.camera])
    return " ".join(f"{part}." for part in parts)


def _moving(told: Telling, phrasing: int) -> str:
    if phrasing == 0:  # moves a T, on P
        return _spaced(_all([_verb_first(thing) for thing in told.things]), _place(told))
    if phrasing == 1:  # a T moves, and the background is P
        return _all([_subject_first(thing) for thing in told.things]) + _behind(told)
    if phrasing == 2:  # in the video moves a T, and the background is P
        return f"في هذا الفيديو {_all([_verb_first(thing) for thing in told.things])}{_behind(told)}"
    return _spaced("هناك", _all([_subject_first(thing) for thing in told.things]), _place(told))


def _still(told: Telling, phrasing: int) -> str:
    things = _all([name(thing) for thing in told.things])
    if phrasing == 0:
        return _spaced(f"صورة ثابتة: {things}", _place(told))
    if phrasing == 1:
        return f"في هذه الصورة الثابتة {things}{_behind(told)}"
    if phrasing == 2:
        return _spaced(f"صورة ثابتة ل{things}", _place(told))
    appears = Pair("يظهر", "تظهر").form(_gender(told.things[0]))  # the verb agrees with the nearest subject
    return f"صورة ثابتة {appears} فيها {things}{_behind(told)}"


def _all(items: list[str]) -> str:
    """The conjunction is written together with the word that follows."""
    return " و".join(items)


def _gender(thing: Thing) -> str:
    return NOUNS[thing.shape][1]


def name(thing: Thing, definite: bool = False) -> str:
    """Noun, colour, size, all definite or none; a person is one in clothes (feminine) of that colour."""
    noun, gender = NOUNS[thing.shape]
    if thing.shape == "person" and thing.colour:
        size = SIZES[thing.size].m if thing.size else ""
        words = [f"ال{word}" if definite else word for word in (noun, size) if word]
        colour = COLOURS[thing.colour].f
        return _spaced(*words, f"بالملابس ال{colour}" if definite else f"بملابس {colour}")
    colour = COLOURS[thing.colour].form(gender) if thing.colour else ""
    size = SIZES[thing.size].form(gender) if thing.size else ""
    return _spaced(*(f"ال{word}" if definite else word for word in (noun, colour, size) if word))


def _verb_first(thing: Thing) -> str:
    assert thing.motion is not None
    verb, rest = VERBS[thing.motion]
    return f"{verb.form(_gender(thing))} {name(thing)} {rest.form(_gender(thing))}"


def _subject_first(thing: Thing) -> str:
    assert thing.motion is not None
    verb, rest = VERBS[thing.motion]
    return f"{name(thing)} {verb.form(_gender(thing))} {rest.form(_gender(thing))}"


def _place(told: Telling) -> str:
    if told.background is None:
        return ""
    if told.background != "plain":
        return PLACES[told.background][0]
    return f"على خلفية {COLOURS[told.backdrop].f}"


def _behind(told: Telling) -> str:
    if told.background is None:
        return ""
    if told.background != "plain":
        return f"، {PLACES[told.background][1]}"
    return f"، والخلفية {COLOURS[told.backdrop].f}"


def _spaced(*words: str) -> str:
    return " ".join(word for word in words if word)
