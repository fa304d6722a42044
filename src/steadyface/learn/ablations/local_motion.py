"""The comparisons of local motion's six networks (Belmonte et al. 2019, tables 1 to 5) on our videos."""

from pathlib import Path

import numpy as np

from ...align.temporal import LocalMotionNetwork
from ...evaluate.report import Table
from ...evaluate.steadybench.single_motions import EXPRESSIONS, MOVEMENTS
from ...face_model.morphable import load_face_model
from ...networks.local_motion import NETWORKS
from ..augment import AugmentConfig
from ..local_motion_batches import WindowConfig
from ..local_motion_train import LocalMotionTrainConfig, LocalMotionTrainer, export_run
from ..train import keep_memory
from .runs import Ablation, Budget, Claim, Trained, Variant, comparison, order_table
from .single_motions import score_single_motions

#: Clips of one movement or one expression each, that tables 1 to 3 are made on.
SINGLE_MOTIONS = "cache/single_motions"
#: Share of the iterations that a heatmap network gets: one step costs it ten times as much. Coordinates and
#: heatmaps are therefore each compared among themselves, as in the paper.
HEATMAP_SHARE = 0.25
#: Less variety than a shipped network learns from: a short training has enough to do.
PLAIN = AugmentConfig(
    **{"roll_deg": 5.0, "scale": 0.06, "shift": 0.03, "wide_probability": 0.0},
    **{"occlude": 0.05, "shade": 0.15, "blur": 0.05, "noise": 0.1, "compress": 0.1},
)
#: The paper's, of coordinates: ten times as much moves them by more than a face in one step, through 1,024
#: inputs, and learns less. Heatmaps, of which most is zero, need more in a short training.
LEARNING_RATE, HEATMAP_RATE = 1e-4, 4e-4

# Table 1: AUC and FR at 8 %, AUC and FR at 4 %.
_TABLE_1 = {
    "2D": (78.53, 0.27, 57.44, 0.79),
    "3D": (79.57, 0.15, 59.44, 0.64),
    "2DRNN": (83.32, 0.08, 66.83, 0.35),
    "3DRNN": (84.12, 0.09, 68.41, 0.28),
}
# Tables 2 and 3: AUC at 8 % and 4 % by class, of the networks in the order of table 1.
_TABLE_2 = {
    "nothing": (82.11, 64.22, 81.19, 62.39, 86.20, 72.41, 86.84, 73.68),
    "diag": (82.29, 64.58, 82.77, 65.54, 85.28, 70.55, 85.40, 70.81),
    "pitch": (82.69, 65.37, 83.56, 67.12, 84.76, 69.51, 85.26, 70.52),
    "roll": (79.72, 59.43, 80.90, 61.80, 83.38, 66.75, 84.01, 68.02),
    "tx": (80.43, 60.87, 82.14, 64.27, 85.28, 70.55, 85.33, 70.66),
    "yaw": (82.64, 65.29, 84.23, 68.47, 85.42, 70.83, 85.23, 70.47),
}
_TABLE_3 = {
    "anger": (77.97, 55.94, 79.27, 58.53, 83.54, 67.09, 84.16, 68.33),
    "disgust": (76.35, 52.70, 78.76, 57.52, 83.57, 67.15, 84.49, 68.98),
    "fear": (77.51, 55.01, 78.48, 56.95, 83.92, 67.85, 84.32, 68.64),
    "happy": (80.69, 61.37, 83.80, 67.60, 85.60, 71.20, 86.42, 72.83),
    "neutral": (82.11, 64.22, 81.19, 62.39, 86.20, 72.41, 86.84, 73.68),
    "sad": (76.75, 53.49, 79.15, 58.31, 82.33, 64.67, 84.63, 69.26),
    "surprise": (77.29, 54.59, 80.93, 61.85, 84.33, 68.67, 85.36, 70.72),
}
# Tables 4 and 5: AUC and FR at 8 % of the categories 1 to 3 of 300VW, which are as SteadyBench's A to C.
_TABLE_4_5 = {
    "2D": (71.82, 1.73, 67.17, 0.61, 65.48, 4.54),
    "3D": (72.26, 1.88, 67.62, 2.21, 64.23, 4.22),
    "2DRNN": (76.04, 1.52, 73.45, 0.14, 71.25, 2.83),
    "3DRNN": (76.21, 1.60, 73.14, 0.17, 70.86, 2.70),
    "2DFCRNN": (73.99, 3.79, 73.73, 0.30, 70.55, 4.91),
    "3DFCRNN": (75.25, 2.50, 74.23, 0.30, 71.60, 4.40),
}
_COORDINATES, _HEATMAPS = tuple(_TABLE_1), ("2DFCRNN", "3DFCRNN")
# What early connectivity, and what late connectivity adds.
_EARLY = (("3D", "2D"), ("3DRNN", "2DRNN"), ("3DFCRNN", "2DFCRNN"))
_LATE = (("2DRNN", "2D"), ("3DRNN", "3D"))


def _paper(name):
    figures = {}
    if name in _TABLE_1:
        keys = ("single_auc_8", "single_fr_8", "single_auc_4", "single_fr_4")
        figures |= dict(zip(keys, _TABLE_1[name], strict=True))
        column = 2 * _COORDINATES.index(name)
        for kind, table in (("movement", _TABLE_2), ("expression", _TABLE_3)):
            for label, row in table.items():
                figures |= {
                    f"{kind}_{label}_auc_8": row[column],
                    f"{kind}_{label}_auc_4": row[column + 1],
                }
    keys = (f"{figure}_8_{category}" for category in "ABC" for figure in ("auc", "fr"))
    return figures | dict(zip(keys, _TABLE_4_5[name], strict=True))


def _variant(name):
    share, rate = (HEATMAP_SHARE, HEATMAP_RATE) if NETWORKS[name].heatmaps else (1.0, LEARNING_RATE)
    return Variant(name, name, {"network": name, "share": share, "learning_rate": rate}, _paper(name))


VARIANTS = tuple(_variant(name) for name in NETWORKS)


class LocalMotionFollower:
    """An exported network as `follow` calls it: its own landmarks, and the crops of faces fitted to them."""

    def __init__(self, path, model=None, threads=1):
        self.network = LocalMotionNetwork(path, threads)
        self._face = self.network.face_of_landmarks(model or load_face_model())

    def __call__(self, frames, crops):
        points, _ = self.network(frames, crops)
        return points, [alignment.crop for alignment in self._face(points)]


def config_of(variant, seed, out, budget):
    """The `LocalMotionTrainConfig` of a variant."""
    (folder,) = budget.sets
    return LocalMotionTrainConfig(
        out=str(out),
        batches=WindowConfig(folder, size=budget.batch, seed=seed, augment=PLAIN),
        network=NETWORKS[variant.settings["network"]],
        learning_rate=variant.settings["learning_rate"],
        schedule="cosine",
        warmup=0.1,
        iterations=max(1, round(variant.settings["share"] * budget.iterations)),
        validate_minutes=np.inf,
        checkpoint_minutes=1.0,
        threads=budget.threads,
        workers=0,
        seed=seed,
    )


def train_variant(variant, seed, out, budget, show):
    """Train a network, going on from its checkpoint: `Trained`, or None if it was interrupted.

    Its figures are the held-out errors and, if the clips are there, those of `score_single_motions`.
    """
    keep_memory()
    trainer = LocalMotionTrainer(config_of(variant, seed, out, budget), resume=True)
    errors = trainer.run(show)
    if trainer.progress() < 1:
        return None
    follower = LocalMotionFollower(export_run(trainer))
    figures = {f"heldout_{key}": value for key, value in errors["videos"].items()}
    figures["training_s"] = trainer.seconds
    window = follower.network.window
    if (Path(SINGLE_MOTIONS) / "steadybench.json").is_file():
        figures |= score_single_motions(follower, window, SINGLE_MOTIONS)
    return Trained(follower, window, figures)


def _claims(pairs, figure, column):
    """What the paper's own figures say of pairs of networks, as claims with the better one first."""
    made = []
    for a, b in pairs:
        first, second = (next(v for v in VARIANTS if v.name == name).paper.get(figure) for name in (a, b))
        if first is not None and second is not None and first != second:
            better, worse = (a, b) if first > second else (b, a)
            made.append(Claim(better, worse, figure, {figure: column}, higher=True))
    return made


CLAIMS = {
    "Orders of table 1 (one movement or expression each).": [
        *_claims((*_EARLY, *_LATE), "single_auc_8", "AUC 8 %"),
        *_claims((*_EARLY, *_LATE), "single_auc_4", "AUC 4 %"),
    ],
    **{
        f"Orders of tables 4 and 5, category {category}.": _claims(
            (*_EARLY, *_LATE), f"auc_8_{category}", "AUC 8 %"
        )
        for category in "ABC"
    },
}


def tables(results):
    """The section's tables and notes."""
    overall = {f"{f} {t} %": f"single_{f.lower()}_{t}" for t in (8, 4) for f in ("AUC", "FR")}
    categories = {f"{c}: {f} 8 %": f"{f.lower()}_8_{c}" for c in "ABC" for f in ("AUC", "FR")}
    steadiness = {
        **{"NME %": "nme", "NME, inter-ocular %": "nme_interocular", "AUC 8 %": "auc_8", "FR 8 %": "fr_8"},
        **{"AUC 4 %": "auc_4", "FR 4 %": "fr_4"},
        **{"stability %": "stability", "NMF": "nmf", "jitter %": "jitter", "lag": "lag", "lost": "losses"},
        **{"clips: jitter %": "clips_jitter", "lag of clips": "clips_lag"},
        "clips: distance %": "clips_distance",
        **{"held-out videos %": "heldout_error", "training s": "training_s"},
    }
    every = tuple(NETWORKS)
    made = [
        comparison(
            results, "Table 1: clips of one movement or one expression each.", every, overall, overall
        ),
        _by_class(results, "Table 2: AUC % by movement, with a neutral face.", "movement", MOVEMENTS),
        _by_class(results, "Table 3: AUC % by expression, with a still head.", "expression", EXPRESSIONS),
        comparison(
            results,
            "Table 4: coordinates, SteadyBench's categories beside 300VW's.",
            _COORDINATES,
            categories,
            categories,
        ),
        comparison(
            results,
            "Table 5: heatmaps, SteadyBench's categories beside 300VW's.",
            _HEATMAPS,
            categories,
            categories,
        ),
        comparison(results, "Steadiness, and the rest of what was measured.", every, steadiness, {}),
    ]
    counted = []
    for caption, claims in CLAIMS.items():
        orders, note = order_table(results, claims, caption)
        if orders is not None:
            made.append(orders)
            counted.append(f"{caption} {note}")
    notes = [*counted, *_class_notes(results), *_NOTES]
    return [t for t in made if t is not None and t.rows], notes


def _by_class(results, caption, kind, names):
    """Rows of classes and thresholds; columns of the networks, ours and then the paper's."""
    here = [v for v in results.variants if v.name in results]
    published = [v for v in here if v.name in _TABLE_1]
    rows = []
    for name in names:
        for threshold in (8, 4):
            figure = f"{kind}_{name}_auc_{threshold}"
            cells = [results.cell(v.name, figure) for v in here]
            if any(c is not None for c in cells):
                rows.append((name, f"{threshold} %", *cells, *(v.paper[figure] for v in published)))
    columns = (kind, "up to", *(v.title for v in here), *(f"paper: {v.title}" for v in published))
    return Table(caption, columns, tuple(rows))


def _class_notes(results):
    """In how many classes 3D convolutions gain, here and in the paper: a sentence of every pair and table."""
    lines = []
    for kind, names in (("movement", MOVEMENTS), ("expression", EXPRESSIONS)):
        for better, worse in _EARLY:
            ours, paper = [], []
            for name in names:
                figure = f"{kind}_{name}_auc_8"
                a, b = results.pairs(better, worse, figure)
                if len(a) and np.isfinite(a - b).any():
                    ours.append(float(np.nanmean(a - b)))
                if better in _TABLE_1:
                    gain, loss = (next(v for v in VARIANTS if v.name == n).paper for n in (better, worse))
                    paper.append(gain[figure] - loss[figure])
            if ours:
                text = f"{better} gains on {worse} in {_gains(ours)} classes of {kind}"
                lines.append(f"{text} (in the paper in {_gains(paper)})." if paper else f"{text}.")
    return [" ".join(lines)] if lines else []


def _gains(differences):
    return f"{sum(d > 0 for d in differences)} of {len(differences)}"


_NOTES = (
    "AUC and FR: area under the cumulative curve of the mean error of 68 points by the diagonal of the true "
    "box, and the share of frames above the threshold. Tables 1 to 3: held-out people, each with the six "
    "movements and seven expressions of SNaP-2DFe, one at a time; the paper fine-tunes on that set's people, "
    "here nothing is fine-tuned. Tables 4 and 5: SteadyBench's categories ask what 300VW's do, in steady "
    "light, in difficult light, and hidden or blurred. Every frame is cropped by the estimate before, for "
    "which a face is fitted to the landmarks; the landmarks scored are the network's own, without a filter.",
    "The coordinate networks saw the same windows in the same order, and the heatmap networks the first "
    f"{100 * HEATMAP_SHARE:.0f} % of them, for one of their steps costs ten times as much: the two groups "
    f"do not compare with each other. The learning rate of coordinates is the paper's {LEARNING_RATE:g}, "
    f"that of heatmaps {HEATMAP_RATE:g}; both fall to nothing by a cosine, not by steps over 100 "
    "epochs, and all batches are of one size.",
)

ABLATION = Ablation(
    name="local_motion",
    title="Local motion's networks",
    command="steadyface benchmark ablation local_motion",
    variants=VARIANTS,
    budget=Budget(iterations=1200, batch=8, sets={"cache/sequences": 1.0}),
    train=train_variant,
    tables=tables,
)
