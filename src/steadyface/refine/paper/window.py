"""The square of a texture that holds the skin of the face: what the networks spend their texels on."""

from dataclasses import dataclass

import numpy as np

from ...networks.uv_chart import _largest_piece
from ..layout import texture_layout

#: Texels kept free around the face.
MARGIN = 4


@dataclass(frozen=True)
class TextureWindow:
    """A square of size x size texels of a texture of full x full, its first at (row, column).

    layout: (U, 2) texture coordinates of the whole; uv: (U, 2) the same in the window's own coordinates,
    which go from 0 to 1 over the window and beyond outside.
    """

    size: int
    full: int
    row: int
    column: int
    layout: np.ndarray

    @classmethod
    def around_face(cls, model, size):
        """The window of `size` texels in which the face of a `MorphableModel` is as large as may be.

        Raises InputError for a model without texture coordinates.
        """
        layout = texture_layout(model)
        uv = layout[model.uv_triangles[face_triangles(model)].ravel()]
        low, high = uv.min(0), uv.max(0)
        full = max(size, int((size - 2 * MARGIN) / (high - low).max()))
        column, row = np.clip(np.rint((low + high) / 2 * full - size / 2), 0, full - size).astype(int)
        return cls(size, full, int(row), int(column), layout)

    @property
    def uv(self):
        return (self.layout * self.full - [self.column, self.row]) / self.size

    def embed(self, values, fill):
        """The whole texture (full, full, ...): values (size, size, ...) in the window, fill around it."""
        out = np.empty((self.full, self.full, *values.shape[2:]), values.dtype)
        out[:] = fill
        out[self.row : self.row + self.size, self.column : self.column + self.size] = values
        return out


def face_triangles(model):
    """Triangles (F,) bool that are compared with the frames: the skin of the face.

    Eyeballs and the mouth's inside hide what lies behind them but do not count: they move on their own, and
    no one texture fits them. A model without regions counts all of its texture's largest piece.
    """
    counted = _largest_piece(model)
    if "face" in model.regions:
        counted = counted & model.regions["face"][model.triangles].all(1)
    return counted
