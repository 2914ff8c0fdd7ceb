"""The bodies: compositions of signed-distance primitives (negative inside), y downwards, looking to the right.

Each body is a list of layers painted one upon another; the first ones carry the actor's colour. Coordinates are free:
`fitted` moves and scales every body so that its bounding box is centred on 0 and its longer half side is 1.

Reference for the primitives: I. Quilez, "2D distance functions".
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manzar.world.scene import RGB

Paint = RGB | Literal["body", "shade"]
Layer = tuple[Tensor, Paint]
Body = Callable[[Tensor, Tensor], list[Layer]]

DARK: RGB = (45, 45, 55)
PALE: RGB = (235, 240, 245)
SKIN: RGB = (250, 205, 165)
BARK: RGB = (95, 65, 40)


# ---- primitives: (..., h, w) coordinates to (..., h, w) distances ----------------------------------------------------


def _disc(x: Tensor, y: Tensor, cx: float, cy: float, r: float) -> Tensor:
    return torch.hypot(x - cx, y - cy) - r


def _ellipse(x: Tensor, y: Tensor, cx: float, cy: float, rx: float, ry: float) -> Tensor:
    """First-order distance k0 (k0 - 1) / k1: right at the border, where it matters."""
    px, py = (x - cx) / rx, (y - cy) / ry
    k0, k1 = torch.hypot(px, py), torch.hypot(px / rx, py / ry)
    return k0 * (k0 - 1) / k1.clamp_min(1e-6)


def _rectangle(x: Tensor, y: Tensor, x0: float, y0: float, x1: float, y1: float) -> Tensor:
    """Exact on and inside the border; outside the corners the larger of the two distances."""
    cx, cy, hx, hy = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2
    return torch.maximum((x - cx).abs() - hx, (y - cy).abs() - hy)


def _convex(x: Tensor, y: Tensor, points: Sequence[tuple[float, float]]) -> Tensor:
    """A convex polygon whose corners run clockwise on the screen: the largest distance to its sides."""
    distance: Tensor | None = None
    for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
        length = math.hypot(bx - ax, by - ay)
        nx, ny = (by - ay) / length, -(bx - ax) / length
        side = x * nx + (y * ny - (ax * nx + ay * ny))
        distance = side if distance is None else torch.maximum(distance, side)
    assert distance is not None
    return distance


def _capsule(x: Tensor, y: Tensor, ax: float, ay: float, bx: float, by: float, r: float) -> Tensor:
    dx, dy = bx - ax, by - ay
    along = (((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy)).clamp(0, 1)
    return torch.hypot(x - ax - along * dx, y - ay - along * dy) - r


def _union(*distances: Tensor) -> Tensor:
    return functools.reduce(torch.minimum, distances)


# ---- plain shapes ----------------------------------------------------------------------------------------------------


def _circle(x: Tensor, y: Tensor) -> list[Layer]:
    return [(_disc(x, y, 0, 0, 1), "body")]


def _square(x: Tensor, y: Tensor) -> list[Layer]:
    return [(_rectangle(x, y, -1, -1, 1, 1), "body")]


def _triangle(x: Tensor, y: Tensor) -> list[Layer]:
    return [(_convex(x, y, [(0, -1), (1, 0.75), (-1, 0.75)]), "body")]


def _star(x: Tensor, y: Tensor, inner: float = 0.45) -> list[Layer]:
    """Five points: fold the plane into one tenth, where the star is one straight side from tip to notch."""
    tip, notch = (0.0, -1.0), (inner * math.sin(math.pi / 5), -inner * math.cos(math.pi / 5))
    x = x.abs()
    for angle in (2 * math.pi / 5, math.pi / 5):  # mirror at two more axes of symmetry
        nx, ny = math.cos(angle), math.sin(angle)
        beyond = (x * nx + y * ny).clamp_min(0)
        x, y = (x - 2 * beyond * nx).abs(), y - 2 * beyond * ny
    length = math.hypot(notch[0] - tip[0], notch[1] - tip[1])
    nx, ny = (notch[1] - tip[1]) / length, -(notch[0] - tip[0]) / length
    return [((x - tip[0]) * nx + (y - tip[1]) * ny, "body")]


def _heart(x: Tensor, y: Tensor) -> list[Layer]:
    x, y = x.abs(), 1 - y  # the tip at y = 1, as in the reference, which has y upwards from it
    lobe = torch.hypot(x - 0.25, y - 0.75) - math.sqrt(2) / 4
    half = 0.5 * (x + y).clamp_min(0)
    low = torch.minimum(torch.hypot(x, y - 1), torch.hypot(x - half, y - half)) * torch.sign(x - y)
    return [(torch.where(x + y > 1, lobe, low), "body")]


def _ring(x: Tensor, y: Tensor) -> list[Layer]:
    return [((torch.hypot(x, y) - 0.7).abs() - 0.3, "body")]


# ---- figures and vehicles --------------------------------------------------------------------------------------------


def _person(x: Tensor, y: Tensor) -> list[Layer]:
    side = x.abs()
    coat = _union(
        _convex(x, y, [(-0.3, -0.42), (0.3, -0.42), (0.38, 0.3), (-0.38, 0.3)]),
        _capsule(side, y, 0.3, -0.32, 0.6, 0.12, 0.11),
        _rectangle(side, y, 0.06, 0.2, 0.32, 0.88),
    )
    return [
        (coat, "body"),
        (_rectangle(side, y, 0.06, 0.86, 0.38, 1.0), DARK),
        (_union(_disc(x, y, 0, -0.71, 0.29), _disc(side, y, 0.66, 0.18, 0.1)), SKIN),
    ]


def _cat(x: Tensor, y: Tensor) -> list[Layer]:
    body = _union(
        _ellipse(x, y, -0.12, 0.22, 0.62, 0.36),
        _disc(x, y, 0.56, -0.22, 0.38),
        _convex(x, y, [(0.22, -0.74), (0.52, -0.5), (0.2, -0.2)]),
        _convex(x, y, [(0.9, -0.74), (0.92, -0.2), (0.6, -0.5)]),
        _rectangle((x + 0.12).abs(), y, 0.26, 0.25, 0.5, 0.85),
        _capsule(x, y, -0.66, 0.2, -0.94, -0.45, 0.1),
    )
    return [
        (body, "body"),
        (_disc((x - 0.6).abs(), y, 0.15, -0.27, 0.09), PALE),
        (_union(_disc((x - 0.62).abs(), y, 0.15, -0.27, 0.05), _disc(x, y, 0.62, -0.08, 0.06)), DARK),
    ]


def _fish(x: Tensor, y: Tensor) -> list[Layer]:
    body = _union(
        _ellipse(x, y, 0.22, 0, 0.78, 0.5),
        _convex(x, y, [(-1.0, -0.5), (-0.35, 0.0), (-1.0, 0.5)]),
        _convex(x, y, [(0.0, -0.7), (0.35, -0.4), (-0.15, -0.35)]),
    )
    return [(body, "body"), (_disc(x, y, 0.62, -0.14, 0.14), PALE), (_disc(x, y, 0.65, -0.14, 0.075), DARK)]


def _car(x: Tensor, y: Tensor) -> list[Layer]:
    body = _union(
        _convex(x, y, [(-1, -0.1), (0.8, -0.1), (1, 0.02), (1, 0.36), (-1, 0.36)]),
        _convex(x, y, [(-0.58, -0.58), (0.28, -0.58), (0.62, -0.06), (-0.78, -0.06)]),
    )
    glass = _union(
        _convex(x, y, [(-0.5, -0.46), (-0.2, -0.46), (-0.2, -0.12), (-0.62, -0.12)]),
        _convex(x, y, [(-0.08, -0.46), (0.22, -0.46), (0.44, -0.12), (-0.08, -0.12)]),
    )
    wheel = (x.abs() - 0.54).abs()
    return [
        (body, "body"),
        (glass, (200, 230, 245)),
        (torch.hypot(wheel, y - 0.38) - 0.25, DARK),
        (torch.hypot(wheel, y - 0.38) - 0.1, PALE),
    ]


def _boat(x: Tensor, y: Tensor) -> list[Layer]:
    return [
        (_convex(x, y, [(-1, 0.35), (1, 0.35), (0.68, 0.92), (-0.7, 0.92)]), "body"),
        (_rectangle(x, y, -0.08, -1.0, 0.02, 0.38), BARK),
        (_convex(x, y, [(0.06, -0.95), (0.78, 0.24), (0.06, 0.24)]), "body"),
        (_convex(x, y, [(-0.12, -0.7), (-0.12, 0.24), (-0.68, 0.24)]), "shade"),
    ]


def _house(x: Tensor, y: Tensor) -> list[Layer]:
    return [
        (_rectangle(x, y, -0.76, -0.15, 0.76, 0.95), "body"),
        (_convex(x, y, [(0, -1), (1, -0.12), (-1, -0.12)]), "shade"),
        (_rectangle(x, y, -0.2, 0.4, 0.16, 0.95), DARK),
        (_rectangle((x - 0.02).abs(), y, 0.34, 0.1, 0.6, 0.38), (255, 240, 180)),
    ]


def _tree(x: Tensor, y: Tensor) -> list[Layer]:
    crown = _union(
        _disc(x, y, 0, -0.52, 0.48), _disc(x.abs(), y, 0.36, -0.08, 0.44), _rectangle(x, y, -0.4, -0.2, 0.4, 0.3)
    )
    return [(_rectangle(x, y, -0.14, 0.2, 0.14, 1.0), BARK), (crown, "body")]


_BODIES: dict[str, Body] = {
    "circle": _circle, "square": _square, "triangle": _triangle, "star": _star, "heart": _heart, "ring": _ring,
    "person": _person, "cat": _cat, "fish": _fish, "car": _car, "boat": _boat, "house": _house, "tree": _tree,
}  # fmt: skip


# ---- fitting: every body in the same box -----------------------------------------------------------------------------


class Fit(NamedTuple):
    """How a body is brought into [-1, 1], and its outline there.

    centre, scale: own coordinates = scale · q + centre.  half: half extents (x, y), the longer 1.
    reach: distance of the farthest border point from the centre.  outline: (K, 2) corners of the
    convex hull of its border: as far as it reaches in any direction, however it is turned.
    """

    centre: tuple[float, float]
    scale: float
    half: tuple[float, float]
    reach: float
    outline: NDArray[np.float64]


def silhouette(layers: Sequence[Layer]) -> Tensor:
    return _union(*(distance for distance, _ in layers))


@functools.cache
@torch.enable_grad()
def fit(shape: str, cells: int = 320) -> Fit:
    """The exact extents of a body, from the zero set of its silhouette, found to about 1e-6 by Newton's method."""
    axis = torch.linspace(-1.3, 1.3, cells, dtype=torch.float64)
    y, x = (grid.flatten() for grid in torch.meshgrid(axis, axis, indexing="ij"))
    near = silhouette(_BODIES[shape](x, y)).abs() < 4 / cells
    points = torch.stack([x[near], y[near]], dim=-1)  # (K, 2)
    for _ in range(6):
        points.requires_grad_(True)
        distance = silhouette(_BODIES[shape](points[:, 0], points[:, 1]))
        (slope,) = torch.autograd.grad(distance.sum(), points)
        step = distance.unsqueeze(-1) * slope / slope.square().sum(-1, keepdim=True).clamp_min(1e-3)
        points = (points - step.clamp(-0.02, 0.02)).detach()
    distance = silhouette(_BODIES[shape](points[:, 0], points[:, 1]))
    border = points[distance.abs() < 1e-5].numpy()
    low, high = border.min(0), border.max(0)
    middle, half = (low + high) / 2, (high - low) / 2
    scale = float(half.max())
    border = (border - middle) / scale
    reach = float(np.hypot(border[:, 0], border[:, 1]).max())
    return Fit((float(middle[0]), float(middle[1])), scale, (half[0] / scale, half[1] / scale), reach, _hull(border))


def _hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners of the convex hull of points (K, 2), by Andrew's monotone chain."""
    ordered = points[np.lexsort((points[:, 1], points[:, 0]))].tolist()
    return np.array([*_chain(ordered), *_chain(ordered[::-1])])


def _chain(points: list[list[float]]) -> list[list[float]]:
    """One side of a hull, from the first point to the last, which is left to the other side."""
    kept: list[list[float]] = []
    for x, y in points:
        while len(kept) > 1 and (kept[-1][0] - kept[-2][0]) * (y - kept[-2][1]) <= \
                (kept[-1][1] - kept[-2][1]) * (x - kept[-2][0]):
            kept.pop()
        kept.append([x, y])
    return kept[:-1]


def fitted(shape: str, x: Tensor, y: Tensor) -> list[Layer]:
    """Layers of `shape` at coordinates (..., h, w) of its fitted box; distances in the same unit."""
    own = fit(shape)
    layers = _BODIES[shape](x * own.scale + own.centre[0], y * own.scale + own.centre[1])
    return [(distance / own.scale, paint) for distance, paint in layers]
