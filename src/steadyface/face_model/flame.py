"""FLAME's files, 2017 to 2023, as a linear model (Li et al. 2017, "Learning a model of facial shape ...")."""

import numpy as np

from ..errors import InputError
from ..rotation import matrix_from_axis_angle
from .imported import EXPRESSION_SIGMAS, ForeignModel
from .pickle_reader import Fields, read_npz, read_pickle

# Of the 400 shape directions the first 300 are identity.
_IDENTITY = 300
_JAW, _LEFT_EYE, _RIGHT_EYE = 2, 3, 4
# Joint, rotation vector (y up) at which the activation is 1. Between 0 and 1 points move on the chord of
# their arc, not on it: at half the jaw's 0.4 rad the chin is 2 % of its distance to the joint off, some 2 mm.
_JOINT_MOVES = {
    "jawOpen": (_JAW, (0.4, 0, 0)),
    "jawLeft": (_JAW, (0, 0.15, 0)),
    "jawRight": (_JAW, (0, -0.15, 0)),
    "eyeLookUpLeft": (_LEFT_EYE, (-0.4, 0, 0)),
    "eyeLookUpRight": (_RIGHT_EYE, (-0.4, 0, 0)),
    "eyeLookDownLeft": (_LEFT_EYE, (0.4, 0, 0)),
    "eyeLookDownRight": (_RIGHT_EYE, (0.4, 0, 0)),
    "eyeLookInLeft": (_LEFT_EYE, (0, -0.5, 0)),
    "eyeLookInRight": (_RIGHT_EYE, (0, 0.5, 0)),
    "eyeLookOutLeft": (_LEFT_EYE, (0, 0.5, 0)),
    "eyeLookOutRight": (_RIGHT_EYE, (0, -0.5, 0)),
}


def read_flame(path, values=None):
    """FLAME's pickle or npz: a `ForeignModel` of 300 identity, 100 expression and 11 joint coefficients.

    Expression is in standard-normal units; the jaw and the eyes, which FLAME turns about joints, are
    activations in [0, 1]: the mean face turned by the whole angle, minus the mean face. The neck stays
    straight: the head's rotation is the pose. values: the file's entries if they are read already. Raises
    InputError if the file is broken, refused, or lacks an entry.
    """
    if values is None:
        values = read_npz(path) if str(path).endswith(".npz") else read_pickle(path)
    f = Fields(path, values)
    mean = f("v_template", shape=(-1, 3)).astype(float)
    v = len(mean)
    directions = f("shapedirs", shape=(v, 3, -1)).transpose(2, 0, 1)
    if len(directions) <= _IDENTITY:
        raise InputError(
            f"{path}: 'shapedirs' must have more than {_IDENTITY} directions, identity and then expression; "
            f"got {len(directions)}"
        )
    rig = _Rig(
        mean,
        f("posedirs", shape=(v, 3, 36)).astype(float),
        f("J_regressor", shape=(5, v)) @ mean,
        f("kintree_table", shape=(2, 5))[0].astype(np.int64),
        f("weights", shape=(v, 5)).astype(float),
    )
    moves = [rig.turned(joint, np.array(angle, float)) - mean for joint, angle in _JOINT_MOVES.values()]
    learned = len(directions) - _IDENTITY
    signed = np.tile([-EXPRESSION_SIGMAS, EXPRESSION_SIGMAS], (learned, 1))
    return ForeignModel(
        name="flame",
        path=path,
        mean=mean,
        identity=directions[:_IDENTITY],
        expression=np.concatenate([directions[_IDENTITY:], np.stack(moves)]),
        triangles=f("f", shape=(-1, 3)).astype(np.int64),
        millimetres=1000.0,
        names=(*(f"expression{i:02d}" for i in range(learned)), *_JOINT_MOVES),
        bounds=np.concatenate([signed, np.tile([0.0, 1.0], (len(moves), 1))]),
        eyes=rig.joints[[_LEFT_EYE, _RIGHT_EYE]].mean(0),
    )


class _Rig:
    """Linear blend skinning of the mean face about five joints: root, neck, jaw, left and right eye."""

    def __init__(self, mean, pose_directions, joints, parents, weights):
        self.mean, self.joints, self.weights = mean, joints, weights
        self.pose_directions = pose_directions
        self.parents = parents

    def turned(self, joint, axis_angle):
        """The mean face with one joint turned: (V, 3) (FLAME, eq. 2 to 4)."""
        rotation = matrix_from_axis_angle(axis_angle)
        change = np.zeros((4, 3, 3))  # of every joint but the root
        change[joint - 1] = rotation - np.eye(3)
        posed = self.mean + self.pose_directions @ change.ravel()
        # One joint is turned and its children with it; what hangs on others stays.
        turns = self.weights[:, self._below(joint)].sum(1, keepdims=True)
        return posed + turns * ((posed - self.joints[joint]) @ (rotation - np.eye(3)).T)

    def _below(self, joint):
        below = [joint]
        for child in range(joint + 1, 5):
            if self.parents[child] in below:
                below.append(child)
        return below
