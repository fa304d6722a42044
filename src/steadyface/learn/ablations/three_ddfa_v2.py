"""3DDFA_V2's ablations (tables 3 and 4, figures 3, 6 and 7) on our pictures, with its recipe alone."""

from pathlib import Path

import numpy as np

from ..augment import AugmentConfig
from ..batches import BatchConfig
from ..export_onnx import export
from ..log import read
from ..objective import TermWeights
from ..train import TrainConfig, Trainer, keep_memory
from .aligner import ParameterAligner
from .runs import Ablation, Budget, Claim, Trained, Variant, comparison, order_table

#: Steps that the meta-joint of tables 3 and 4 looks ahead, and all that are compared (figure 6).
LOOK_AHEAD, LOOK_AHEADS = 25, (5, 25, 100)
#: Frames of a synthetic short video, and the share of a batch that they fill.
CLIP_LENGTH, CLIP_SHARE = 4, 0.5
#: Side of the input, pixels; the paper's has 120, which take more than twice the time.
IMAGE_SIZE = 80
#: Longest gradient: shorter than all that occur, so that the losses, in mm^2 and in squared deviations, step
#: alike. Otherwise what Adam remembers of the larger one would hold up the smaller one after a change.
CLIP_NORM = 1.0
#: Of 2e-3 and 6e-3 the better one for fWPDC after a hundred steps.
LEARNING_RATE = 6e-3
#: What is left out of our pictures' variety: a short training has enough to learn.
PLAIN = AugmentConfig(grey=0.0, occlude=0.0, shade=0.0, compress=0.0, wide_probability=0.0)
# The practical terms that the paper does not have.
_NO_TERMS = TermWeights(landmarks=0.0, openings=0.0, coefficients=0.0, motion=0.0, sigma=0.0, confidence=0.0)
_LOSSES = {"fwpdc": "fWPDC", "vdc": "VDC"}
_META = {"objective": "meta-joint", "look_ahead": LOOK_AHEAD}
_META_LRR = {**_META, "lrr": True}


def _paper(aflw2000, aflw, menpo=None, stability=None):
    figures = {"aflw2000": aflw2000, "aflw": aflw, "menpo": menpo, "stability": stability}
    return {k: v for k, v in figures.items() if v is not None}


def _look_ahead(k):
    # With fewer than four choices there is nothing to choose.
    name, title = f"meta-{k}", f"Meta-joint, k = {k}"
    paper = _paper(3.73, 4.64) if k == 100 else {}
    return Variant(name, title, {**_META, "look_ahead": k}, paper, least_iterations=4 * k)


#: In the order in which they are trained: what the paper's conclusions stand on comes first.
VARIANTS = (
    Variant("vdc", "VDC", {"objective": "vdc"}, _paper(5.23, 6.37)),
    Variant("fwpdc", "fWPDC", {"objective": "fwpdc"}, _paper(4.04, 5.10, 1.96, 0.54)),
    Variant("vdc-from-fwpdc", "VDC from fWPDC", {"objective": "vdc-from-fwpdc"}, _paper(3.88, 4.83)),
    Variant("vanilla", "Vanilla-joint, beta = 0.5", {"objective": "vanilla-joint"}, _paper(3.80, 4.80)),
    Variant("meta", f"Meta-joint, k = {LOOK_AHEAD}", _META, _paper(3.73, 4.64)),
    Variant("meta-lrr", "Meta-joint w/ lrr", _META_LRR, _paper(3.59, 4.50, 1.86, 0.52)),
    Variant(
        "meta-lrr-svs",
        "Meta-joint w/ lrr, w/ svs",
        {**_META_LRR, "svs": "smooth"},
        _paper(3.51, 4.43, 1.71, 0.48),
    ),
    Variant(
        "meta-lrr-rnd",
        "Meta-joint w/ lrr, w/ rnd",
        {**_META_LRR, "svs": "random"},
        _paper(None, None, 1.76, 0.50),
    ),
    Variant(
        "fwpdc-svs", "fWPDC w/ svs", {"objective": "fwpdc", "svs": "smooth"}, _paper(None, None, 1.84, 0.51)
    ),
    Variant("fwpdc-lrr", "fWPDC w/ lrr", {"objective": "fwpdc", "lrr": True}, _paper(3.89, 4.84)),
    Variant("vdc-lrr", "VDC w/ lrr", {"objective": "vdc", "lrr": True}, _paper(3.92, 4.92)),
    Variant("meta-lmk", "Meta-joint w/ lmk", {**_META, "lmk": True}, _paper(3.71, 4.80)),
    *(_look_ahead(k) for k in LOOK_AHEADS if k != LOOK_AHEAD),
)
_TABLE_3 = (
    "vdc",
    "fwpdc",
    "vdc-from-fwpdc",
    "vanilla",
    "meta",
    "vdc-lrr",
    "fwpdc-lrr",
    "meta-lmk",
    "meta-lrr",
)
_TABLE_4 = ("fwpdc", "fwpdc-svs", "meta-lrr", "meta-lrr-rnd", "meta-lrr-svs")
_FIGURE_6 = tuple("meta" if k == LOOK_AHEAD else f"meta-{k}" for k in LOOK_AHEADS)
_ERRORS = {
    "portraits %": "heldout_error",
    "turned portraits %": "heldout_profiled_error",
    "SteadyBench NME %": "nme",
}
_STEADINESS = {"stability %": "stability", "NMF": "nmf", "clips: jitter %": "clips_jitter"}


def config_of(variant, seed, out, budget):
    """The `TrainConfig` of a variant: the paper's recipe, none of the practical terms."""
    settings = dict(variant.settings)
    motion = settings.pop("svs", None)
    return TrainConfig(
        out=str(out),
        batches=BatchConfig(
            dict(budget.sets),
            size=budget.batch,
            image_size=IMAGE_SIZE,
            clip_length=CLIP_LENGTH if motion else 1,
            clip_share=CLIP_SHARE if motion else 0.0,
            clip_motion=motion or "smooth",
            negatives=0.0,
            seed=seed,
            augment=PLAIN,
        ),
        **{"lrr": False, **settings},
        weights=_NO_TERMS,
        pooling="average",
        clip_norm=CLIP_NORM,
        learning_rate=LEARNING_RATE,
        iterations=budget.iterations,
        heldout=dict(budget.heldout),
        validate_minutes=np.inf,
        checkpoint_minutes=1.0,
        threads=budget.threads,
        workers=0,
        seed=seed,
    )


def train_variant(variant, seed, out, budget, show):
    """Train a variant, going on from its checkpoint: `Trained`, or None if it was interrupted."""
    keep_memory()
    trainer = Trainer(config_of(variant, seed, out, budget), resume=True)
    trainer.log_every_s = 0.0
    errors = trainer.run(show)
    if trainer.progress() < 1:
        return None
    path = Path(out) / "regressor.onnx"
    export(trainer.average.module, path, trainer.model.name)
    figures = {f"{name}_error": r["error"] for name, r in errors.items()}
    # Of all parts of an interrupted training.
    figures["train_s"] = trainer.seconds
    won = trainer.losses_won
    for half, part in (("first", won[: len(won) // 2]), ("second", won[len(won) // 2 :])):
        if part:
            figures[f"fwpdc_{half}_half"] = 100 * part.count("fwpdc") / len(part)
    return Trained(ParameterAligner(path, trainer.model), 1, figures)


def training_errors(out):
    """Iterations and vertex errors, mm, of a run's training batches: two (N,)."""
    records = [r for r in read(Path(out) / "log.jsonl") if r["kind"] == "train"]
    return np.array([r["iteration"] for r in records]), np.array([r["vertex_mm"] for r in records])


def choices(out):
    """Iterations up to which each look-ahead of a run led, and the name of the loss it chose: two lists."""
    records = [r for r in read(Path(out) / "log.jsonl") if r["kind"] == "train"]
    return [r["iteration"] for r in records], [r["winner"] for r in records]


# Orders that the paper draws its conclusions from, and what they are held against here.
_STILL = {
    "heldout_error": "portraits",
    "heldout_profiled_error": "turned portraits",
    "nme": "SteadyBench NME",
}
_VIDEO = {"nme": "SteadyBench NME"}
_STEADY = {"stability": "SteadyBench stability", "clips_jitter": "jitter of clips"}
CLAIMS = (
    *(
        Claim(better, worse, "aflw2000", _STILL)
        for better, worse in (
            ("fwpdc", "vdc"),
            ("vdc-from-fwpdc", "fwpdc"),
            ("vanilla", "vdc-from-fwpdc"),
            ("meta", "vanilla"),
            ("meta-lrr", "meta"),
            ("vdc-lrr", "vdc"),
            ("fwpdc-lrr", "fwpdc"),
            ("meta-lmk", "meta"),
            ("meta-lrr", "meta-lmk"),
        )
    ),
    *(
        Claim(better, worse, published, against, measure=measure)
        for better, worse in (
            ("fwpdc-svs", "fwpdc"),
            ("meta-lrr-svs", "meta-lrr"),
            ("meta-lrr-rnd", "meta-lrr"),
            ("meta-lrr-svs", "meta-lrr-rnd"),
        )
        for published, against, measure in (("menpo", _VIDEO, "NME"), ("stability", _STEADY, "stability"))
    ),
)


def tables(results):
    """The section's tables and notes."""
    aflw = {"AFLW2000-3D": "aflw2000", "AFLW": "aflw"}
    menpo = {"Menpo-3D NME %": "menpo", "stability %": "stability"}
    chosen = {"fWPDC chosen, first half %": "fwpdc_first_half", "second half %": "fwpdc_second_half"}
    rest = {
        **{f"NME {c} %": f"nme_{c}" for c in "ABC"},
        **{"AUC 8 %": "auc_8", "FR 8 %": "fr_8", "AUC 4 %": "auc_4", "FR 4 %": "fr_4"},
        **{"jitter %": "jitter", "lag": "lag"},
        **{"clips: distance %": "clips_distance", "lag of clips": "clips_lag"},
    }
    every = [v.name for v in results.variants]
    made = [
        comparison(results, "Table 3: losses and their combinations, NME.", _TABLE_3, _ERRORS, aflw),
        comparison(
            results,
            "Table 4: short-video synthesis (svs), and pictures of one photograph turned at random (rnd).",
            _TABLE_4,
            {"SteadyBench NME %": "nme", **_STEADINESS},
            menpo,
        ),
        comparison(
            results,
            "Figures 6 and 7: steps of a look-ahead, and what was chosen.",
            _FIGURE_6,
            {**_ERRORS, **chosen},
            {},
        ),
        comparison(results, "The rest of what was measured.", every, rest, {}),
    ]
    orders, counted = order_table(results, CLAIMS)
    made = [t for t in (*made, orders) if t is not None and t.rows]
    return made, [counted, _trend(results), *_NOTES] if counted else list(_NOTES)


def _trend(results):
    """Whether fWPDC is chosen early and VDC late, as in figure 7: a sentence of every k, or nothing."""
    said = []
    for name in _FIGURE_6:
        first, second = results.values(name, "fwpdc_first_half"), results.values(name, "fwpdc_second_half")
        if len(first) and len(second):
            title = next(v.title for v in results.variants if v.name == name)
            word = "more" if first.mean() > second.mean() else "not more"
            said.append(f"{title}: {word} often early ({first.mean():.0f} % : {second.mean():.0f} %)")
    return f"Is fWPDC chosen early and VDC late, as in figure 7? {'; '.join(said)}." if said else ""


_NOTES = (
    "Portraits: held-out people, as photographed and turned by face profiling, seen in crops that miss a "
    "little; mean distance of the 478 points, percent of the outer eye corners' distance in space. "
    "SteadyBench: 68 points, hidden ones too, NME and stability by the root of the box' area. Clips: medians "
    "beside MediaPipe's points. In both no filter is at work, and all variants see the same crops, which "
    "follow the unfiltered shipped network: after this little training none follows a face by itself. An "
    "answer that clings to the crop is as late as the crop, one frame.",
    "The recipe is the paper's: MobileNet, here of width 0.5, with average pooling, and the loss with "
    f"nothing beside it; pictures have {IMAGE_SIZE} pixels a side instead of 120. Unlike the paper, Adam "
    f"steps (AdamW), and every gradient is cut to the length {CLIP_NORM:g}, so that losses of different "
    "units step alike. Both help VDC, whose slow descent the paper lays to zig-zagging.",
    f"Short videos are {CLIP_LENGTH} adjacent frames, half of each batch. All variants draw from the same "
    "pictures, of which the turned ones exist as runs of frames that turn on out of the plane; without svs "
    "they are drawn one by one, so that a batch shows more photographs. The extra batch of a look-ahead, on "
    "which the losses are compared, is not counted as a picture; meta-joint takes twice the time.",
    "The paper's columns of table 3 are means over small, medium and large poses; its figure 6 has no "
    "numbers but those of k = 100, which is best there.",
)


def draw(folder_of_run, seeds, results, pictures):
    """Draw figures 3 and 7 of the first seed. Returns pairs of a caption and the file's path."""
    from matplotlib.figure import Figure

    seed = seeds[0]
    here = [v for v in results.variants if seed in results.runs.get(v.name, {})]
    joint = [v for v in here if v.settings["objective"] == "meta-joint" and not v.settings.get("svs")]
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for v in here:
        if v.name in _TABLE_3:
            at, error = training_errors(folder_of_run(v, seed))
            # A look-ahead leaves one record of its last step.
            left.plot(at, _smooth(error, 25 * len(at) // at[-1]), label=v.title, linewidth=1.2)
    left.set(title="training vertex error (figure 3)", xlabel="iteration", ylabel="mm, running mean")
    for row, v in enumerate(joint):
        at, won = choices(folder_of_run(v, seed))
        for name, colour, marker in (("fwpdc", "tab:blue", "o"), ("vdc", "tab:orange", "s")):
            x = [i for i, w in zip(at, won, strict=True) if w == name]
            right.plot(
                x,
                [row] * len(x),
                marker,
                color=colour,
                markersize=4,
                label=_LOSSES[name] if row == 0 else None,
            )
    right.set(title="loss chosen by each look-ahead (figure 7)", xlabel="iteration")
    right.set_ylim(-0.5, max(len(joint), 1) + 0.2)
    right.set_yticks(range(len(joint)), [v.title for v in joint])
    for axes in (left, right):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7, loc="upper right", ncols=2 if axes is right else 1)
    path = Path(pictures) / "ablation_3ddfa_v2.png"
    figure.savefig(path, dpi=110)
    return [("Training error of the variants, and which loss meta-joint chose", path)]


def _smooth(values, count):
    width = min(max(count, 1), len(values))
    padded = np.pad(values, (width - 1, 0), mode="edge")
    return np.convolve(padded, np.ones(width) / width, mode="valid")


ABLATION = Ablation(
    name="3ddfa_v2",
    title="3DDFA_V2's ablations",
    command="steadyface benchmark ablation 3ddfa_v2",
    variants=VARIANTS,
    budget=Budget(
        iterations=400,
        batch=24,
        sets={"cache/portraits": 0.4, "cache/profiled_clips": 0.6},
        heldout={"heldout": "cache/heldout", "heldout_profiled": "cache/heldout_profiled"},
    ),
    train=train_variant,
    tables=tables,
    draw=draw,
    led=True,
)
