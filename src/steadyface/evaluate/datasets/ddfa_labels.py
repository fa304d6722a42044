"""The labels of 3DDFA's datasets (300W-LP, AFLW2000-3D): parameters of the Basel face model per image."""

from dataclasses import dataclass

import numpy as np

from .mat_file import read_mat

# The Basel model's frame (x right, y up, z to the viewer) to ours (x right, y down, z away).
_FLIP = np.diag([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class FaceParameters:
    """Pose and shape of a face in 3DDFA's own frames.

    angles: (3,) pitch, yaw, roll, radians; translation: (3,) pixels, y up from the image's lower edge;
    scale: pixels per micrometre of the model; shape: (199,), expression: (29,) coefficients.
    """

    angles: np.ndarray
    translation: np.ndarray
    scale: float
    shape: np.ndarray
    expression: np.ndarray

    @property
    def rotation(self):
        """The head's rotation in our frames, (3, 3): I for a face that looks into the camera.

        3DDFA's is R_x(pitch) R_y(yaw) R_z(roll), each turning clockwise about its axis.
        """
        (cx, cy, cz), (sx, sy, sz) = np.cos(self.angles), np.sin(self.angles)
        x = np.array([[1, 0, 0], [0, cx, sx], [0, -sx, cx]])
        y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
        z = np.array([[cz, sz, 0], [-sz, cz, 0], [0, 0, 1]])
        return _FLIP @ (x @ y @ z) @ _FLIP

    def to_image(self, vertices, height):
        """Model vertices (N, 3), micrometres, in the image: (N, 3) pixels, y down, depth away.

        height: of the image, pixels: y = height - y_model - 1.
        """
        points = self.scale * vertices @ (_FLIP @ self.rotation @ _FLIP).T + self.translation
        return model_to_image(points, height)


def model_to_image(points, height):
    """Points (*, 3) of 3DDFA's frame (y up from the lower edge, z to the viewer), pixels, to ours."""
    x, y, z = np.moveaxis(np.asarray(points, float), -1, 0)
    return np.stack([x, height - y - 1, -z], -1)


def read_parameters(path, extra=()):
    """`FaceParameters` of a .mat file, and the arrays `extra` of it by name. Raises as `read_mat`."""
    content = read_mat(path, ("Pose_Para", "Shape_Para", "Exp_Para", *extra))
    pose = content["Pose_Para"].ravel()
    parameters = FaceParameters(
        pose[:3], pose[3:6], float(pose[6]), content["Shape_Para"].ravel(), content["Exp_Para"].ravel()
    )
    return parameters, {name: content[name] for name in extra}
