"""A tracked person's head with its texture, as a mesh file."""

from ..refine.texture import VideoTexture
from .obj import write_obj


def write_head(track, path):
    """Write the neutral face of a `Track` of the studio quality with its texture: .obj, .mtl and .png.

    Model frame, mm, in OBJ's axes: see `write_obj`. path: that of the .obj. Raises InputError if the track
    has no texture, OutputError if it cannot be written.
    """
    model, texture = track.model, VideoTexture.of_track(track)
    write_obj(
        *(model.shape.neutral(track.identity), model.triangles, path),
        uv=texture.uv,
        uv_triangles=model.uv_triangles,
        texture=texture.color,
    )
