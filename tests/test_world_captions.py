from __future__ import annotations

import itertools
import re

import pytest

from manzar.nouns import LANGUAGES, UsageError
from manzar.world import (
    BACKGROUNDS,
    CAMERAS,
    COLOURS,
    EXTRA_LOOKS,
    LOOKS,
    MOTIONS,
    PHRASINGS,
    SHAPES,
    Actor,
    Scene,
    WorldConfig,
    caption,
    captions,
    sample_scene,
)
from manzar.world.languages import arabic, chinese, hindi, hindustani, urdu
from manzar.world.say import names


def still(shape: str = "circle", colour: str = "red", **changes: object) -> Actor:
    fields: dict[str, object] = {
        "shape": shape, "colour": colour, "size": "medium", "motion": "still", "start": (0.5, 0.5), "end": (0.5, 0.5),
        "diameter_start": 0.5, "diameter_end": 0.5,
    }  # fmt: skip
    return Actor(**{**fields, **changes})  # type: ignore[arg-type]


def scene_of(*actors: Actor, backdrop: str = "white", **changes: str) -> Scene:
    fields = {"background": "plain", "camera": "still", "look": "flat", **changes}
    return Scene(actors, backdrop=backdrop, **fields)  # type: ignore[arg-type]


def tokens(text: str) -> list[str]:
    return re.findall(r"[^\s.,;:،۔।]+", text)


def some_scenes() -> list[Scene]:
    return [sample_scene(i, WorldConfig(held_out="any")) for i in range(600)]


ALPHABETS = {
    "en": r"[A-Za-z ,.;]+",
    "zh": r"[\u4e00-\u9fff，。：、]+",
    "hi": r"[\u0900-\u0963 ,।:\-]+",
    "ur": r"[ آابپتٹثجچحخدڈذرڑزژسشصضطظعغفقکگلمنںوؤہھءئیے،۔:]+",
    "ar": r"[ آأإابتثجحخدذرزسشصضطظعغفقكلمنهوؤيءئىةً،.:]+",
}


@pytest.mark.parametrize("moving", [True, False])
def test_captions_are_pure_distinct_and_whole(moving: bool) -> None:
    for scene, phrasing in itertools.product(some_scenes()[:300], range(PHRASINGS)):
        said = captions(scene, phrasing, moving)
        assert tuple(said) == LANGUAGES
        for language, text in said.items():
            assert re.fullmatch(ALPHABETS[language], text), (language, text)
            assert not re.search(r"  | [,.]", text), text
            assert text == caption(scene, language, phrasing, moving)
            assert len({caption(scene, language, k, moving) for k in range(PHRASINGS)}) == PHRASINGS
    with pytest.raises(UsageError, match="fr"):
        caption(scene, "fr", 0)


def test_captions_of_stills_tell_of_no_motion() -> None:
    for motion, phrasing in itertools.product(MOTIONS, range(PHRASINGS)):
        scene = scene_of(still("square", motion=motion), camera="zoom in", background="sea")
        same = scene_of(still("square"), background="sea")
        assert captions(scene, phrasing, moving=False) == captions(same, phrasing, moving=False)
        assert "mov" not in caption(scene, "en", phrasing, moving=False)


def test_names_are_what_captions_call_the_actors() -> None:
    for seed in range(40):
        scene = sample_scene(seed, WorldConfig(actors=(1, 3)))
        for language in LANGUAGES:
            called = names(scene, language)
            assert len(called) == len(scene.actors)
            told = caption(scene, language, 0, moving=False)
            if language in ("en", "zh"):  # the others inflect
                assert all(name in told for name in called), (called, told)


def test_every_attribute_changes_every_caption() -> None:
    base = scene_of(still(motion="left"), backdrop="gray")
    others = [
        *(scene_of(still(s, motion="left"), backdrop="gray") for s in SHAPES[1:]),
        *(scene_of(still(colour=c, motion="left"), backdrop="gray") for c in list(COLOURS)[1:]),
        *(scene_of(still(motion=m), backdrop="gray") for m in MOTIONS if m != "left"),
        *(scene_of(still(motion="left", size=s), backdrop="gray") for s in ("small", "large")),
        *(scene_of(still(motion="left"), background=b, backdrop="gray") for b in BACKGROUNDS[1:]),
        *(scene_of(still(motion="left"), camera=c, backdrop="gray") for c in CAMERAS[1:]),
        *(scene_of(still(motion="left"), look=look, backdrop="gray") for look in (*LOOKS[1:], *EXTRA_LOOKS)),
        scene_of(still(motion="left"), backdrop="red"),
    ]
    for language, phrasing in itertools.product(LANGUAGES, range(PHRASINGS)):
        told = [caption(scene, language, phrasing) for scene in [base, *others]]
        assert len(set(told)) == len(told), language


@pytest.mark.parametrize("look", ["monochrome", "sepia"])
def test_looks_without_hue_name_none(look: str) -> None:
    gray = WorldConfig(looks=(look,), actors=(1, 2))
    said = {"monochrome": ("black", "white", "gray"), "sepia": ("black",)}[look]
    hues = [colour for colour in COLOURS if colour not in said]
    forms = {
        "en": hues,
        "zh": [chinese.COLOURS[h] for h in hues],
        "hi": [form for h in hues for form in hindi.LEXICON.colours[h]],
        "ur": [form for h in hues for form in urdu.LEXICON.colours[h]],
        "ar": [form for h in hues for form in arabic.COLOURS[h]],
    }
    for i, phrasing in itertools.product(range(40), range(PHRASINGS)):
        for language, text in captions(sample_scene(i, gray), phrasing).items():
            words = [text] if language == "zh" else tokens(text)
            assert not any(
                hue in word if language == "zh" else hue == word for hue in forms[language] for word in words
            )


def test_sepia_is_said_once_in_every_language() -> None:
    words = {"en": "sepia", "zh": "棕褐色调", "hi": "सीपिया", "ur": "سیپیا", "ar": "السيبيا"}
    for i, phrasing, moving in itertools.product(range(30), range(PHRASINGS), (True, False)):
        told = captions(sample_scene(i, WorldConfig(looks=EXTRA_LOOKS)), phrasing, moving)
        for language, text in told.items():
            assert text.count(words[language]) == 1, text
            assert re.fullmatch(ALPHABETS[language], text), text


def test_arabic_agrees() -> None:
    gender = dict(arabic.NOUNS.values())
    adjectives = {**arabic.COLOURS, **arabic.SIZES}.values()
    masculine, feminine = {a.m for a in adjectives}, {a.f for a in adjectives}
    gender |= {"خلفية": "f", "الخلفية": "f", "ملابس": "f", "الملابس": "f"}
    checked = 0
    for scene, phrasing, moving in itertools.product(some_scenes()[:300], range(PHRASINGS), (True, False)):
        text = caption(scene, "ar", phrasing, moving).replace("بالأبيض والأسود", "")
        for phrase in re.split(r"[.،:]", text):
            current, definite = "", False
            for word in phrase.split():
                bare = re.sub(r"^(?:و(?=ال|\w{3,}))?(?:ب(?=ملابس|الملابس))?", "", word)
                options = {word, bare, word[1:] if word[0] in "ول" else word}
                core = next((o.removeprefix("ال") for o in options if o.removeprefix("ال") in gender), None)
                if core:
                    current, definite = gender[core], any(o.startswith("ال") for o in options)
                    continue
                plain = word.removeprefix("ال")
                if plain in masculine | feminine:
                    assert current, text
                    assert plain in (feminine if current == "f" else masculine), text
                    assert word.startswith("ال") == definite or "الخلفية" in phrase, text
                    checked += 1
    assert checked > 2000
    for scene, phrasing in itertools.product(some_scenes()[:200], range(PHRASINGS)):
        text = caption(scene, "ar", phrasing)
        for actor in scene.actors:
            noun, g = arabic.NOUNS[actor.shape]
            verb = arabic.VERBS[actor.motion][0].form(g)
            assert re.search(rf"{verb} {noun}\b" if phrasing in (0, 2) else rf"{noun}\b[^.،]*? {verb}", text), text


@pytest.mark.parametrize(("language", "lexicon"), [("hi", hindi.LEXICON), ("ur", urdu.LEXICON)])
def test_hindi_and_urdu_agree(language: str, lexicon: hindustani.Lexicon) -> None:
    """Attributes are those of the noun that follows; the verb's last word is that of the noun before it."""
    forms = {noun.direct: (noun, False) for noun in lexicon.nouns.values()}
    forms |= {noun.oblique: (noun, True) for noun in lexicon.nouns.values() if noun.oblique != noun.direct}
    adjectives = [a for a in (*lexicon.colours.values(), *lexicon.sizes.values()) if a.masculine != a.feminine]
    attributes = {form for a in (*lexicon.colours.values(), *lexicon.sizes.values()) for form in a}
    verb_endings = {"रहा": "m", "रही": "f", "رہا": "m", "رہی": "f"}
    checked = 0
    for scene, phrasing, moving in itertools.product(some_scenes()[:300], range(PHRASINGS), (True, False)):
        text = caption(scene, language, phrasing, moving)
        words, subject = tokens(text), ""
        for i, word in enumerate(words):
            if word in forms:
                noun, oblique = forms[word]
                subject = noun.gender
                before = i - 1
                while before >= 0 and words[before] in attributes:  # walk back over this noun's own attributes
                    for adjective in (a for a in adjectives if words[before] in a):
                        assert words[before] in {adjective.form(noun.gender, o) for o in (oblique, True)}, text
                        checked += 1
                    before -= 1
            elif word in verb_endings and subject and not {"कैमरा", "کیمرا"} & set(words[max(0, i - 5) : i]):
                assert verb_endings[word] == subject, text
                checked += 1
    assert checked > 1500
    cat = scene_of(still("cat", "blue", motion="grow", size="large"), backdrop="black")
    star = scene_of(still("star", "blue", motion="left", size="large"), backdrop="black")
    expected = {
        "hi": ("काली पृष्ठभूमि पर एक नीली बिल्ली बड़ी हो रही है।", "एक बड़े नीले तारे का स्थिर चित्र। पृष्ठभूमि काली है।"),
        "ur": ("کالے پس منظر پر ایک نیلی بلی بڑی ہو رہی ہے۔", "ایک بڑے نیلے ستارے کی ساکن تصویر۔ پس منظر کالا ہے۔"),
    }[language]
    assert (caption(cat, language, 0), caption(star, language, 2, moving=False)) == expected


def test_chinese_measure_words() -> None:
    for shape, (measure, noun) in chinese.NOUNS.items():
        text = caption(scene_of(still(shape, motion="up")), "zh", 0)
        assert text == f"一{measure}{'穿红色衣服的' if shape == 'person' else '红色的'}{noun}向上移动。"


def test_english_articles() -> None:
    for scene, phrasing in itertools.product(some_scenes()[:200], range(PHRASINGS)):
        assert not re.search(r"\b(?:a [aeiou]|an [^aeiou])", caption(scene, "en", phrasing), re.IGNORECASE)
