"""Which detection is which face: ids that are stable, never shared and never used again."""

from dataclasses import dataclass

import numpy as np

#: Crops nearer than this (see `crop_distance`) show one face.
SAME_FACE = 0.5


def crop_distance(a, b):
    """How far two crops are apart, in sides: centres and sizes, not roll.

    a, b: lists of crops (anything with center (2,) and side). Returns (len(a), len(b)): the root of squared
    centre distance over the product of the sides plus the squared log ratio of the sides. 0 for the same
    square, about 1 for two heads side by side.
    """
    centers = [np.array([c.center for c in crops], float).reshape(-1, 2) for crops in (a, b)]
    sides = [np.array([c.side for c in crops], float) for crops in (a, b)]
    squared = ((centers[0][:, None] - centers[1][None]) ** 2).sum(-1)
    product = sides[0][:, None] * sides[1][None]
    return np.sqrt(squared / product + np.log(sides[0][:, None] / sides[1][None]) ** 2)


def assign(cost, limit):
    """Pairs rows with columns: first as many pairs below the limit, hence the least total cost.

    cost: (R, C); limit: a number or (R, C); pairs at or above it stay apart. Returns a list of (row, column)
    sorted by row. The Hungarian method with shortest augmenting paths (Jonker and Volgenant 1987).
    """
    cost = np.asarray(cost, float)
    if cost.size == 0:
        return []
    allowed = cost < limit
    # A pair that is not allowed costs more than all allowed pairs together.
    forbidden = 1.0 + 2.0 * cost[allowed].sum()
    filled = np.where(allowed, cost, forbidden)
    turned = filled.shape[0] > filled.shape[1]
    pairs = _hungarian(filled.T if turned else filled)
    if turned:
        pairs = [(c, r) for r, c in pairs]
    return sorted((r, c) for r, c in pairs if allowed[r, c])


def _hungarian(cost):
    # Rows join one by one; u, v are the dual prices of rows and columns; row 0 and column 0 are virtual.
    rows, columns = cost.shape
    u, v = np.zeros(rows + 1), np.zeros(columns + 1)
    owner = np.zeros(columns + 1, int)
    for row in range(1, rows + 1):
        owner[0], column = row, 0
        shortest = np.full(columns + 1, np.inf)
        came_from = np.zeros(columns + 1, int)
        done = np.zeros(columns + 1, bool)
        while owner[column]:
            done[column] = True
            r = owner[column]
            slack = cost[r - 1] - u[r] - v[1:]
            better = ~done[1:] & (slack < shortest[1:])
            shortest[1:][better] = slack[better]
            came_from[1:][better] = column
            nearest = int(np.argmin(np.where(done, np.inf, shortest)))
            step = shortest[nearest]
            u[owner[done]] += step
            v[done] -= step
            shortest[~done] -= step
            column = nearest
        while column:
            previous = came_from[column]
            owner[column] = owner[previous]
            column = previous
    return [(int(owner[c]) - 1, c - 1) for c in range(1, columns + 1) if owner[c]]


@dataclass(frozen=True)
class AssociationSettings:
    """same_face: crops nearer than this are one face; max_gap_s: how long a lost face is remembered;
    reach, reach_per_s: how far from its last place it may reappear, at once and more for every second.
    """

    same_face: float = SAME_FACE
    max_gap_s: float = 1.5
    reach: float = 0.6
    reach_per_s: float = 0.6


class FaceIds:
    """Keeps the ids of faces over a video.

    Each frame: `followed(time_s, crops)` with the crops of the faces tracked into this frame, then, when
    the detector ran, `new_faces(time_s, detections)`.
    """

    def __init__(self, settings=None):
        self.settings = settings or AssociationSettings()
        self._next = 0
        self._followed = {}
        self._lost = {}
        self._now = -np.inf

    def followed(self, time_s, crops):
        """Tells where the faces are that are followed now; those missing since the last call count as lost.

        crops: {id: crop}. Returns the ids to give up because an older face already has that place
        (two trackers on one face): these are forgotten and their ids never return.
        """
        for identity, crop in self._followed.items():
            if identity not in crops:
                self._lost[identity] = (self._now, crop)
        kept, given_up = {}, []
        for identity in sorted(crops):
            others = list(kept.values())
            if others and crop_distance([crops[identity]], others).min() < 0.5 * self.settings.same_face:
                given_up.append(identity)
            else:
                kept[identity] = crops[identity]
        self._followed, self._now = kept, time_s
        for identity in (*crops, *given_up):
            self._lost.pop(identity, None)
        self._lost = {i: (t, c) for i, (t, c) in self._lost.items() if time_s - t <= self.settings.max_gap_s}
        # Ids handed in from outside (a resumed track) are taken as used.
        self._next = max([self._next, *(i + 1 for i in crops)])
        return given_up

    def new_faces(self, time_s, detections):
        """The detections that no followed face explains, with their ids.

        detections: list with `crop`. Returns [(id, detection, is_new)]: is_new is False where a face lost a
        short while ago reappears near its last place and gets its id back. The faces returned are followed
        from now on.
        """
        crops = [d.crop for d in detections]
        distance = crop_distance(list(self._followed.values()), crops)
        free = [k for k in range(len(crops)) if not (distance[:, k] < self.settings.same_face).any()]
        lost = [(i, t, c) for i, (t, c) in self._lost.items() if time_s - t <= self.settings.max_gap_s]
        cost = crop_distance([c for _, _, c in lost], [crops[k] for k in free])
        limit = np.array(
            [[self.settings.reach + self.settings.reach_per_s * (time_s - t)] for _, t, _ in lost]
        )
        again = {column: lost[row][0] for row, column in assign(cost, limit.reshape(-1, 1))}
        result = []
        for column, k in enumerate(free):
            identity = again.get(column)
            is_new = identity is None
            if is_new:
                identity = self._next
                self._next += 1
            self._lost.pop(identity, None)
            self._followed[identity] = crops[k]
            result.append((identity, detections[k], is_new))
        self._now = time_s
        return result
