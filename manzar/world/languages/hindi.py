"""Hindi, in Devanagari."""

from __future__ import annotations

from manzar.world.languages.hindustani import Adjective, Agreeing, Lexicon, Noun, Verb


def _inflected(stem: str) -> Adjective:
    return Adjective(stem + "ा", stem + "े", stem + "ी")


def _fixed(word: str) -> Adjective:
    return Adjective(word, word, word)


def _verb(rest: str, stem: str) -> Verb:
    """`rest` with the verb of that stem: {stem} रहा, {stem}ता, {stem}ता हुआ."""
    return Verb(
        Agreeing(f"{rest} {stem} रहा", f"{rest} {stem} रही"),
        Agreeing(f"{rest} {stem}ता", f"{rest} {stem}ती"),
        Agreeing(f"{rest} {stem}ता हुआ", f"{rest} {stem}ती हुई"),
    )


def _becoming(stem: str) -> Verb:
    """Grows or shrinks: the adjective agrees as well."""
    big = _inflected(stem)
    return Verb(
        Agreeing(f"{big.masculine} हो रहा", f"{big.feminine} हो रही"),
        Agreeing(f"धीरे-धीरे {big.masculine} होता", f"धीरे-धीरे {big.feminine} होती"),
        Agreeing(f"{big.masculine} होता हुआ", f"{big.feminine} होती हुई"),
    )


LEXICON = Lexicon(
    nouns={
        "circle": Noun("वृत्त", "वृत्त", "m"),
        "square": Noun("वर्ग", "वर्ग", "m"),
        "triangle": Noun("त्रिभुज", "त्रिभुज", "m"),
        "star": Noun("तारा", "तारे", "m"),
        "heart": Noun("दिल", "दिल", "m"),
        "ring": Noun("छल्ला", "छल्ले", "m"),
        "person": Noun("आदमी", "आदमी", "m"),
        "cat": Noun("बिल्ली", "बिल्ली", "f"),
        "fish": Noun("मछली", "मछली", "f"),
        "car": Noun("कार", "कार", "f"),
        "boat": Noun("नाव", "नाव", "f"),
        "house": Noun("घर", "घर", "m"),
        "tree": Noun("पेड़", "पेड़", "m"),
    },
    colours={
        "red": _fixed("लाल"),
        "green": _inflected("हर"),
        "blue": _inflected("नील"),
        "yellow": _inflected("पील"),
        "orange": _fixed("नारंगी"),
        "purple": _fixed("बैंगनी"),
        "cyan": _fixed("फ़िरोज़ी"),
        "magenta": _fixed("मैजेंटा"),
        "white": _fixed("सफ़ेद"),
        "black": _inflected("काल"),
        "gray": _fixed("स्लेटी"),
        "brown": _inflected("भूर"),
    },
    sizes={"small": _inflected("छोट"), "large": _inflected("बड़")},
    verbs={
        "left": _verb("बाईं ओर", "जा"),
        "right": _verb("दाईं ओर", "जा"),
        "up": _verb("ऊपर की ओर", "जा"),
        "down": _verb("नीचे की ओर", "जा"),
        "up-left": _verb("ऊपर बाईं ओर तिरछे", "चल"),
        "up-right": _verb("ऊपर दाईं ओर तिरछे", "चल"),
        "down-left": _verb("नीचे बाईं ओर तिरछे", "चल"),
        "down-right": _verb("नीचे दाईं ओर तिरछे", "चल"),
        "bounce": _verb("ऊपर-नीचे", "उछल"),
        "orbit": _verb("गोल चक्कर", "लगा"),
        "grow": _becoming("बड़"),
        "shrink": _becoming("छोट"),
        "spin": _verb("अपनी जगह पर", "घूम"),
        "still": Verb(Agreeing("स्थिर खड़ा", "स्थिर खड़ी"), Agreeing("स्थिर रहता", "स्थिर रहती"), Agreeing("स्थिर", "स्थिर")),
    },
    clothes="कपड़ों",
    clad=_inflected("वाल"),
    one="एक",
    copula="है",
    copula_plural="हैं",
    conjunction="और",
    comma=",",
    stop="।",
    backdrop=Noun("पृष्ठभूमि", "पृष्ठभूमि", "f"),
    on="पर",
    behind_colour="{backdrop} {colour} है",
    places={
        "gradient": ("ग्रेडिएंट पृष्ठभूमि पर", "पृष्ठभूमि में ग्रेडिएंट है"),
        "sky": ("बादलों वाले आसमान के सामने", "पृष्ठभूमि में बादलों वाला आसमान है"),
        "sea": ("समुद्र के सामने", "पृष्ठभूमि में समुद्र है"),
        "grass": ("घास के मैदान के सामने", "पृष्ठभूमि में घास का मैदान है"),
        "night": ("तारों भरे रात के आसमान के सामने", "पृष्ठभूमि में तारों भरा रात का आसमान है"),
    },
    cameras={
        "pan left": "कैमरा बाईं ओर घूम रहा है",
        "pan right": "कैमरा दाईं ओर घूम रहा है",
        "zoom in": "कैमरा पास आ रहा है",
        "zoom out": "कैमरा दूर जा रहा है",
    },
    looks={
        "outline": "आकृतियों की रूपरेखा मोटी है",
        "pixelated": "दृश्य पिक्सेल शैली में है",
        "monochrome": "दृश्य श्वेत-श्याम है",
        "sepia": "दृश्य सीपिया टोन में है",
    },
    relations={"left": "के बाईं ओर", "right": "के दाईं ओर", "above": "के ऊपर", "below": "के नीचे"},
    video_of="वीडियो में {clauses}",
    there_is="{place} {things} {copula}",
    still=(
        "स्थिर चित्र: {place} {things}",
        "इस स्थिर चित्र में {things} {copula}",
        "{oblique} का स्थिर चित्र",
        "एक स्थिर चित्र जिसमें {place} {things} {copula}",
    ),
)

say = LEXICON.say
name = LEXICON.name
