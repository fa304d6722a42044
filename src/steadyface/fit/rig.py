"""The cameras that see a face together: intrinsics, and where each stands."""

from dataclasses import dataclass

import numpy as np

from ..camera import Pinhole
from ..errors import InputError


@dataclass(frozen=True)
class Rig:
    """C pinhole cameras with square pixels; a point X of the world is at rotation @ X + translation in each.

    focal: (C,) px; center: (C, 2) px; rotation: (C, 3, 3) world to camera; translation: (C, 3) mm. known:
    whether rotation and translation are; if not they are found by the fit, the world is the frame of camera
    0, and what is given here is ignored. Raises InputError if the shapes do not match or a focal length is
    not positive.
    """

    focal: np.ndarray
    center: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    known: bool = True

    def __post_init__(self):
        c = np.size(self.focal)
        for name, shape in (
            ("focal", (c,)),
            ("center", (c, 2)),
            ("rotation", (c, 3, 3)),
            ("translation", (c, 3)),
        ):
            value = np.asarray(getattr(self, name), float)
            if value.shape != shape or not np.isfinite(value).all():
                raise InputError(
                    f"a rig of {c} cameras needs finite {name} of shape {shape}; got {value.shape}"
                )
            object.__setattr__(self, name, value)
        if not (self.focal > 0).all():
            raise InputError(f"focal lengths must be > 0 px; got {self.focal.tolist()}")

    @classmethod
    def single(cls, image_size, focal=None):
        """One camera, whose frame is the world. image_size: (width, height) px; focal: px, or None for the
        longer side, a common field of view."""
        return cls.unknown([image_size], None if focal is None else [focal])

    @classmethod
    def unknown(cls, image_sizes, focal=None):
        """Cameras whose places are not known. image_sizes: C pairs (width, height) px; focal: (C,) px or
        None for the longer sides."""
        size = np.asarray(image_sizes, float)
        if size.ndim != 2 or size.shape[1] != 2 or not (size > 0).all():
            raise InputError(f"image sizes must be pairs (width, height) > 0 px; got {image_sizes}")
        c = len(size)
        return cls(
            size.max(1) if focal is None else np.asarray(focal, float),
            (size - 1) / 2,
            np.tile(np.eye(3), (c, 1, 1)),
            np.zeros((c, 3)),
            known=c == 1,
        )

    def __len__(self):
        return len(self.focal)

    def project(self, points, camera=0):
        """World points (*, N, 3) mm in the image of one camera: (*, N, 2) px."""
        x = points @ self.rotation[camera].T + self.translation[camera]
        return Pinhole(self.focal[camera], self.center[camera]).project(x)
