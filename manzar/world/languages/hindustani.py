"""The grammar that Hindi and Urdu share; their words and scripts are data in hindi.py and urdu.py.

Adjectives in -ā agree with their noun in gender (and, before a postposition, in case); others never change. Verbs agree
with their subject in gender. Order: subject, object, verb; postpositions instead of prepositions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from manzar.world.telling import Telling, Thing, listed


class Noun(NamedTuple):
    """direct and oblique singular; gender "m" or "f"."""

    direct: str
    oblique: str
    gender: str


class Adjective(NamedTuple):
    """Masculine direct, masculine oblique, feminine."""

    masculine: str
    oblique: str
    feminine: str

    def form(self, gender: str, oblique: bool = False) -> str:
        if gender == "f":
            return self.feminine
        return self.oblique if oblique else self.masculine


class Agreeing(NamedTuple):
    """A word in its masculine and feminine forms."""

    m: str
    f: str

    def form(self, gender: str) -> str:
        return self.f if gender == "f" else self.m


class Verb(NamedTuple):
    """Each form whole, without the closing copula: is doing, does, doing (before the noun)."""

    progressive: Agreeing
    habitual: Agreeing
    participle: Agreeing


@dataclass(frozen=True)
class Lexicon:
    """The words of one of the two languages. Templates name their places; see hindi.py for each in use."""

    nouns: dict[str, Noun]
    colours: dict[str, Adjective]
    sizes: dict[str, Adjective]
    verbs: dict[str, Verb]
    clothes: str  # oblique plural
    clad: Adjective  # the suffix -wala
    one: str
    copula: str
    copula_plural: str
    conjunction: str
    comma: str
    stop: str
    backdrop: Noun  # the word for background
    on: str  # postposition after it
    behind_colour: str  # {backdrop} {colour}
    places: dict[str, tuple[str, str]]  # as a place; as a sentence
    cameras: dict[str, str]
    looks: dict[str, str]
    relations: dict[str, str]
    video_of: str  # {clauses}
    there_is: str  # {things} {copula}
    still: tuple[str, str, str, str]  # {things} {oblique} {place} {copula}

    def say(self, told: Telling, phrasing: int) -> str:
        parts = self._moving(told, phrasing) if told.moving else self._still(told, phrasing)
        if told.look:
            parts.append(self.looks[told.look])
        if told.relation:
            first, second = told.things
            parts.append(
                f"{self.name(first)} {self.name(second, oblique=True)} "
                f"{self.relations[told.relation]} {self.copula}"
            )
        if told.camera:
            parts.append(self.cameras[told.camera])
        return " ".join(part + self.stop for part in parts)

    def _moving(self, told: Telling, phrasing: int) -> list[str]:
        place = self._place(told)
        if phrasing == 0:  # on P, a T is moving
            return [_spaced(place, self._clauses(told, "progressive"))]
        if phrasing == 1:  # a T moves. The background is P.
            return [self._clauses(told, "habitual"), *self._behind(told)]
        if phrasing == 2:  # in the video a T is moving. The background is P.
            return [self.video_of.format(clauses=self._clauses(told, "progressive")), *self._behind(told)]
        things = [f"{self._verb(t).participle.form(self._gender(t))} {self._one(t)}" for t in told.things]
        return [self._existing(self.there_is, told, place, things)]  # on P there is a moving T

    def _clauses(self, told: Telling, tense: Literal["progressive", "habitual"]) -> str:
        clauses = []
        for thing in told.things:
            verb = self._verb(thing).progressive if tense == "progressive" else self._verb(thing).habitual
            clauses.append(f"{self._one(thing)} {verb.form(self._gender(thing))} {self.copula}")
        return self._listed(clauses)

    def _still(self, told: Telling, phrasing: int) -> list[str]:
        things = [self._one(thing) for thing in told.things]
        if phrasing in (0, 3):  # these take the place in the same sentence
            return [self._existing(self.still[phrasing], told, self._place(told), things)]
        return [self._existing(self.still[phrasing], told, "", things), *self._behind(told)]

    def _existing(self, template: str, told: Telling, place: str, things: list[str]) -> str:
        oblique = self._listed([self._one(thing, oblique=True) for thing in told.things])
        copula = self.copula if len(things) == 1 else self.copula_plural
        filled = template.format(place=place, things=self._listed(things), oblique=oblique, copula=copula)
        return " ".join(filled.split())

    def _gender(self, thing: Thing) -> str:
        return self.nouns[thing.shape].gender

    def _verb(self, thing: Thing) -> Verb:
        assert thing.motion is not None
        return self.verbs[thing.motion]

    def name(self, thing: Thing, oblique: bool = False, one: str = "") -> str:
        """`one`, size, colour and noun; a person is one in clothes of that colour, and the clothes come first."""
        noun = self.nouns[thing.shape]
        size = self.sizes[thing.size].form(noun.gender, oblique) if thing.size else ""
        bare = _spaced(size, noun.oblique if oblique else noun.direct)
        if thing.colour is None:
            return _spaced(one, bare)
        colour = self.colours[thing.colour]
        if thing.shape == "person":
            wearing = f"{colour.oblique} {self.clothes} {self.clad.form(noun.gender, oblique)}"
            return _spaced(wearing, one, bare)
        return _spaced(one, size, colour.form(noun.gender, oblique), noun.oblique if oblique else noun.direct)

    def _one(self, thing: Thing, oblique: bool = False) -> str:
        return self.name(thing, oblique, self.one)

    def _listed(self, items: list[str]) -> str:
        return listed(items, f"{self.comma} ", f" {self.conjunction} ")

    def _place(self, told: Telling) -> str:
        if told.background is None:
            return ""
        if told.background != "plain":
            return self.places[told.background][0]
        colour = self.colours[told.backdrop].form(self.backdrop.gender, oblique=True)
        return f"{colour} {self.backdrop.oblique} {self.on}"

    def _behind(self, told: Telling) -> list[str]:
        if told.background is None:
            return []
        if told.background != "plain":
            return [self.places[told.background][1]]
        colour = self.colours[told.backdrop].form(self.backdrop.gender)
        return [self.behind_colour.format(backdrop=self.backdrop.direct, colour=colour)]


def _spaced(*words: str) -> str:
    return " ".join(word for word in words if word)
