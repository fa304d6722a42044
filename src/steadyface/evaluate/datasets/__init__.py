"""Readers of face datasets, all giving `Sample` (an image) or `Clip` (a video) values one at a time."""

from .registry import READERS, read_dataset
from .sample import Calibration, Clip, Mesh, Sample

__all__ = ["READERS", "Calibration", "Clip", "Mesh", "Sample", "read_dataset"]
