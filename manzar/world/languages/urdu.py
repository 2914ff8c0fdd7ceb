"""Urdu, in its own letters (ک, ی, ہ, ے, not the Arabic ك, ي, ه)."""

from __future__ import annotations

from manzar.world.languages.hindustani import Adjective, Agreeing, Lexicon, Noun, Verb


def _inflected(stem: str) -> Adjective:
    return Adjective(stem + "ا", stem + "ے", stem + "ی")


def _fixed(word: str) -> Adjective:
    return Adjective(word, word, word)


def _verb(rest: str, stem: str) -> Verb:
    """`rest` with the verb of that stem: {stem} رہا, {stem}تا, {stem}تا ہوا."""
    return Verb(
        Agreeing(f"{rest} {stem} رہا", f"{rest} {stem} رہی"),
        Agreeing(f"{rest} {stem}تا", f"{rest} {stem}تی"),
        Agreeing(f"{rest} {stem}تا ہوا", f"{rest} {stem}تی ہوئی"),
    )


def _becoming(stem: str) -> Verb:
    """Grows or shrinks: the adjective agrees as well."""
    big = _inflected(stem)
    return Verb(
        Agreeing(f"{big.masculine} ہو رہا", f"{big.feminine} ہو رہی"),
        Agreeing(f"آہستہ آہستہ {big.masculine} ہوتا", f"آہستہ آہستہ {big.feminine} ہوتی"),
        Agreeing(f"{big.masculine} ہوتا ہوا", f"{big.feminine} ہوتی ہوئی"),
    )


LEXICON = Lexicon(
    nouns={
        "circle": Noun("دائرہ", "دائرے", "m"),
        "square": Noun("مربع", "مربع", "m"),
        "triangle": Noun("مثلث", "مثلث", "m"),
        "star": Noun("ستارہ", "ستارے", "m"),
        "heart": Noun("دل", "دل", "m"),
        "ring": Noun("چھلا", "چھلے", "m"),
        "person": Noun("آدمی", "آدمی", "m"),
        "cat": Noun("بلی", "بلی", "f"),
        "fish": Noun("مچھلی", "مچھلی", "f"),
        "car": Noun("گاڑی", "گاڑی", "f"),
        "boat": Noun("کشتی", "کشتی", "f"),
        "house": Noun("گھر", "گھر", "m"),
        "tree": Noun("درخت", "درخت", "m"),
    },
    colours={
        "red": _fixed("سرخ"),
        "green": _fixed("سبز"),
        "blue": _inflected("نیل"),
        "yellow": _inflected("پیل"),
        "orange": _fixed("نارنجی"),
        "purple": _fixed("جامنی"),
        "cyan": _fixed("فیروزی"),
        "magenta": _fixed("میجنٹا"),
        "white": _fixed("سفید"),
        "black": _inflected("کال"),
        "gray": _fixed("سرمئی"),
        "brown": _inflected("بھور"),
    },
    sizes={"small": _inflected("چھوٹ"), "large": _inflected("بڑ")},
    verbs={
        "left": _verb("بائیں طرف", "جا"),
        "right": _verb("دائیں طرف", "جا"),
        "up": _verb("اوپر کی طرف", "جا"),
        "down": _verb("نیچے کی طرف", "جا"),
        "up-left": _verb("اوپر بائیں طرف ترچھے", "چل"),
        "up-right": _verb("اوپر دائیں طرف ترچھے", "چل"),
        "down-left": _verb("نیچے بائیں طرف ترچھے", "چل"),
        "down-right": _verb("نیچے دائیں طرف ترچھے", "چل"),
        "bounce": _verb("اوپر نیچے", "اچھل"),
        "orbit": _verb("گول چکر", "لگا"),
        "grow": _becoming("بڑ"),
        "shrink": _becoming("چھوٹ"),
        "spin": _verb("اپنی جگہ پر", "گھوم"),
        "still": Verb(Agreeing("ساکن کھڑا", "ساکن کھڑی"), Agreeing("ساکن رہتا", "ساکن رہتی"), Agreeing("ساکن", "ساکن")),
    },
    clothes="کپڑوں",
    clad=_inflected("وال"),
    one="ایک",
    copula="ہے",
    copula_plural="ہیں",
    conjunction="اور",
    comma="،",
    stop="۔",
    backdrop=Noun("پس منظر", "پس منظر", "m"),
    on="پر",
    behind_colour="{backdrop} {colour} ہے",
    places={
        "gradient": ("گریڈینٹ پس منظر پر", "پس منظر میں گریڈینٹ ہے"),
        "sky": ("بادلوں والے آسمان کے سامنے", "پس منظر میں بادلوں والا آسمان ہے"),
        "sea": ("سمندر کے سامنے", "پس منظر میں سمندر ہے"),
        "grass": ("گھاس کے میدان کے سامنے", "پس منظر میں گھاس کا میدان ہے"),
        "night": ("تاروں بھرے رات کے آسمان کے سامنے", "پس منظر میں تاروں بھرا رات کا آسمان ہے"),
    },
    cameras={
        "pan left": "کیمرا بائیں طرف گھوم رہا ہے",
        "pan right": "کیمرا دائیں طرف گھوم رہا ہے",
        "zoom in": "کیمرا قریب آ رہا ہے",
        "zoom out": "کیمرا دور جا رہا ہے",
    },
    looks={
        "outline": "شکلوں کے خاکے موٹے ہیں",
        "pixelated": "منظر پکسل کے انداز میں ہے",
        "monochrome": "منظر بلیک اینڈ وائٹ ہے",
        "sepia": "منظر سیپیا ٹون میں ہے",
    },
    relations={"left": "کے بائیں طرف", "right": "کے دائیں طرف", "above": "کے اوپر", "below": "کے نیچے"},
    video_of="ویڈیو میں {clauses}",
    there_is="{place} {things} {copula}",
    still=(
        "ساکن تصویر: {place} {things}",
        "اس ساکن تصویر میں {things} {copula}",
        "{oblique} کی ساکن تصویر",
        "ایک ساکن تصویر جس میں {place} {things} {copula}",
    ),
)

say = LEXICON.say
name = LEXICON.name
