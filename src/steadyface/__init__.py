"""Fast, accurate and steady 3D dense face tracking in video, on a CPU.

import steadyface as sf
tracks = sf.track("talk.mp4")               # a Track per face
tracks[0].landmarks("ibug68")               # (T, 68, 3) px, with depth
tracks[0].vertices()                        # (T, V, 3) mm, camera frame
sf.overlay("talk.mp4", tracks, "overlay.mp4")
sf.refine("talk.mp4", tracks)               # the same, against the faces' own textures
faces = sf.align(image_rgb)                 # a still image: one-frame tracks
with sf.LiveTracker() as live:              # a stream, frame by frame
    faces = live(frame_rgb, time_s)
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .errors import InputError, NoFaceError, OutputError, SteadyfaceError, VideoError
    from .face_model.morphable import MorphableModel, load_face_model
    from .filter import FilterSettings
    from .landmark_fit import LandmarkFit, fit_landmarks
    from .live import LiveFace, LiveSettings, LiveTracker
    from .pipeline import align, overlay, refine, side_by_side, track
    from .track import Track
    from .video import read_image, read_video, write_video

__version__ = "0.1.0"

# Name to module: each is imported when it is first asked for, so that `import steadyface` costs nothing.
_HOME = {
    "track": "pipeline",
    "align": "pipeline",
    "overlay": "pipeline",
    "refine": "pipeline",
    "side_by_side": "pipeline",
    "fit_landmarks": "landmark_fit",
    "LandmarkFit": "landmark_fit",
    "Track": "track",
    "LiveTracker": "live",
    "LiveFace": "live",
    "LiveSettings": "live",
    "FilterSettings": "filter",
    "load_face_model": "face_model.morphable",
    "MorphableModel": "face_model.morphable",
    "read_video": "video",
    "read_image": "video",
    "write_video": "video",
    "SteadyfaceError": "errors",
    "VideoError": "errors",
    "NoFaceError": "errors",
    "InputError": "errors",
    "OutputError": "errors",
}

__all__ = [
    "FilterSettings",
    "InputError",
    "LandmarkFit",
    "LiveFace",
    "LiveSettings",
    "LiveTracker",
    "MorphableModel",
    "NoFaceError",
    "OutputError",
    "SteadyfaceError",
    "Track",
    "VideoError",
    "align",
    "fit_landmarks",
    "load_face_model",
    "overlay",
    "read_image",
    "read_video",
    "refine",
    "side_by_side",
    "track",
    "write_video",
]


class _Package(ModuleType):
    def __getattr__(self, name):
        if name not in _HOME:
            raise AttributeError(f"module 'steadyface' has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        setattr(self, name, value)
        return value

    def __setattr__(self, name, value):
        # The import system hangs every submodule on its package; `track` and `align` are functions here.
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self):
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Package
