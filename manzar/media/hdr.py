"""High dynamic range and wide gamut to what an ordinary screen shows: BT.709 primaries, gamma 2.4, 8 bits.

Light goes through three steps: the standard's own curve to light on the display in cd/m² (PQ: SMPTE ST 2084;
HLG: BT.2100, table 5), BT.2020 primaries to BT.709 (BT.2087), and the knee of BT.2390, section 5.4.1, which leaves
shadows and faces as they are and rolls highlights off below the white of an ordinary screen. That white stands for
203 cd/m², the HDR reference white of BT.2408. Tables replace the powers, so a picture of 640x360 takes about 20 ms.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from manzar.nouns import Frames

    Light = NDArray[np.float32]

Transfer = Literal["pq", "hlg", "gamma"]  # gamma: an ordinary curve with BT.2020 primaries

WHITE = 203.0  # cd/m², BT.2408 section 2.1
PEAK = 1000.0  # cd/m², the brightest a graded film is taken to be; what is above is clipped, as on most screens
DISPLAY_GAMMA = 2.4  # BT.1886
HLG_GAMMA = 1.2  # system gamma of a display of 1000 cd/m², BT.2100 table 5
LEVELS = 1 << 16  # of every table; with 12 bits the gain steps back where light steps on
BT2020_LUMA = np.array((0.2627, 0.6780, 0.0593), np.float32)
BT2020_TO_BT709 = np.array(
    ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)), np.float32
)


def to_sdr(coded: NDArray[np.uint16], transfer: Transfer) -> Frames:
    """R'G'B' in BT.2020, full-range uint16 (H, W, 3), to R'G'B' in BT.709, uint8 (H, W, 3)."""
    light = _light(transfer)[coded]  # (H, W, 3) cd/m²; scene light in [0, 1] for HLG
    if transfer == "hlg":
        light *= PEAK * np.maximum(light @ BT2020_LUMA, 1e-6)[..., None] ** (HLG_GAMMA - 1)
    light = np.maximum(light @ BT2020_TO_BT709.T, 0)
    if transfer != "gamma":
        brightest = np.maximum(light.max(-1, keepdims=True), 1e-3)  # one gain for three channels keeps the hue
        reach = np.minimum(brightest / PEAK, 1)
        light *= _gain()[_index(np.sqrt(np.sqrt(reach)))] * (reach * PEAK / brightest)
    return _code()[_index(np.sqrt(np.minimum(light / WHITE, 1)))]


def pq_code(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """cd/m² to the PQ signal in [0, 1]: the inverse EOTF of SMPTE ST 2084, equation 5.2."""
    m1, m2, c1, c2, c3 = _PQ
    y = np.power(light / 10000, m1)
    coded: NDArray[np.float64] = np.power((c1 + c2 * y) / (1 + c3 * y), m2)
    return coded


def pq_light(coded: NDArray[np.float64]) -> NDArray[np.float64]:
    """The PQ signal in [0, 1] to cd/m²: the EOTF of SMPTE ST 2084, equation 4.1."""
    m1, m2, c1, c2, c3 = _PQ
    e = np.power(coded, 1 / m2)
    light: NDArray[np.float64] = 10000 * np.power(np.maximum(e - c1, 0) / (c2 - c3 * e), 1 / m1)
    return light


_PQ = (2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32)  # m1, m2, c1, c2, c3


def hlg_scene(coded: NDArray[np.float64]) -> NDArray[np.float64]:
    """The HLG signal in [0, 1] to scene light in [0, 1]: the inverse OETF of BT.2100, table 5."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene: NDArray[np.float64] = np.where(coded <= 0.5, coded**2 / 3, (np.exp((coded - c) / a) + b) / 12)
    return scene


def rolled_off(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """cd/m² up to PEAK brought below WHITE: the Hermite spline of BT.2390, section 5.4.1, in the PQ domain."""
    top = float(pq_code(np.array(PEAK)))
    e1 = pq_code(light) / top
    most = float(pq_code(np.array(WHITE))) / top
    knee = 1.5 * most - 0.5
    t = np.clip((e1 - knee) / (1 - knee), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    return pq_light(np.where(e1 < knee, e1, spline) * top)


def _index(unit: Light) -> NDArray[np.int32]:
    """[0, 1] to the nearest of LEVELS steps."""
    return (unit * (LEVELS - 1) + 0.5).astype(np.int32)


@cache
def _light(transfer: Transfer) -> Light:
    """The signal in LEVELS steps to light."""
    coded = np.arange(LEVELS) / (LEVELS - 1)
    match transfer:
        case "pq":
            light = pq_light(coded)
        case "hlg":
            light = hlg_scene(coded)
        case "gamma":
            light = WHITE * coded**DISPLAY_GAMMA
    return light.astype(np.float32)


@cache
def _gain() -> Light:
    """What to multiply by, in LEVELS steps of the fourth root of light / PEAK."""
    light = np.maximum(PEAK * (np.arange(LEVELS) / (LEVELS - 1)) ** 4, 1e-3)
    return (rolled_off(light) / light).astype(np.float32)


@cache
def _code() -> Frames:
    """The 8-bit code, in LEVELS steps of the square root of light / WHITE."""
    unit = np.arange(LEVELS) / (LEVELS - 1)
    return np.round(255 * unit ** (2 / DISPLAY_GAMMA)).astype(np.uint8)
