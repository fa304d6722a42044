"""Under what conditions a clip is filmed."""

from dataclasses import dataclass

from ..errors import InputError
from .lighting import KINDS as LIGHTING_KINDS

OCCLUDERS = ("hand", "hair", "microphone", "glasses", "cup")


@dataclass(frozen=True)
class Conditions:
    """How a clip is lit, hidden, exposed and stored; the defaults are a good camera in good light.

    lighting: "steady", "lamp_moves", "flicker", "side", "color" or "dim"; occluder: None, "hand", "hair",
    "microphone", "glasses" or "cup"; exposure: share of the time from frame to frame that the shutter is
    open, 0..1: motion blurs; resolution: factor that frames are reduced by and enlarged again, (0, 1]; noise:
    standard deviation in levels of 0..255; crf: of the H.264 file, which whoever writes the video applies.

    Raises InputError for an unknown name or a number out of range.
    """

    lighting: str = "steady"
    occluder: str | None = None
    exposure: float = 0.0
    resolution: float = 1.0
    noise: float = 2.0
    crf: int = 18

    def __post_init__(self):
        for name, value, known in (
            ("lighting", self.lighting, LIGHTING_KINDS),
            ("occluder", self.occluder, (None, *OCCLUDERS)),
        ):
            if value not in known:
                raise InputError(f"unknown {name} {value!r}: give one of {', '.join(map(str, known))}")
        for name, value, low, high in (
            ("exposure", self.exposure, 0, 1),
            ("resolution", self.resolution, 0.05, 1),
            ("noise", self.noise, 0, 100),
            ("crf", self.crf, 0, 51),
        ):
            if not low <= value <= high:
                raise InputError(f"{name} must be from {low} to {high}, got {value}")
