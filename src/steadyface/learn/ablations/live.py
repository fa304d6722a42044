"""What makes the live network steadier: short videos, a loss of motion, displacement discriminators.

Every variant goes on from the shipped network, equally long, so that what differs is what it was taught last.
"""

from pathlib import Path

import numpy as np

from ...align.regressor import ASSET
from ..batches import BatchConfig
from ..discriminators import NAMES, DiscriminatorConfig
from ..export_onnx import export
from ..objective import TermWeights
from ..train import TrainConfig, Trainer, keep_memory
from .aligner import ParameterAligner
from .runs import Ablation, Budget, Trained, Variant, comparison

#: Share of a batch that short videos fill, and their frames.
CLIP_SHARE, CLIP_LENGTH = 0.75, 2
LEARNING_RATE = 3e-4
#: Lid and lip gaps count for more than their few millimetres.
OPENINGS = 12.0

VARIANTS = (
    Variant("stills", "Stills alone", {"clip_share": 0.0, "motion": 0.0, "on": []}),
    Variant("svs", "Short videos", {"clip_share": CLIP_SHARE, "motion": 0.0, "on": []}),
    Variant(
        "svs-temporal",
        "Short videos, temporal discriminator",
        {"clip_share": CLIP_SHARE, "motion": 0.0, "on": ["temporal"]},
    ),
    Variant(
        "svs-all",
        "Short videos, all three discriminators",
        {"clip_share": CLIP_SHARE, "motion": 0.0, "on": list(NAMES)},
    ),
    Variant("motion-2", "Short videos, motion loss 2", {"clip_share": CLIP_SHARE, "motion": 2.0, "on": []}),
    Variant("motion-8", "Short videos, motion loss 8", {"clip_share": CLIP_SHARE, "motion": 8.0, "on": []}),
    Variant(
        "motion-2-all",
        "Short videos, motion loss 2, all three discriminators",
        {"clip_share": CLIP_SHARE, "motion": 2.0, "on": list(NAMES)},
    ),
)


def config_of(variant, seed, out, budget):
    """The `TrainConfig` of a variant."""
    s = variant.settings
    return TrainConfig(
        out=str(out),
        batches=BatchConfig(
            dict(budget.sets),
            size=budget.batch,
            clip_length=CLIP_LENGTH,
            clip_share=s["clip_share"],
            balance=0.7,
            seed=seed,
        ),
        objective="distance",
        weights=TermWeights(openings=OPENINGS, motion=s["motion"]),
        lrr=False,
        learning_rate=LEARNING_RATE,
        iterations=budget.iterations,
        average_decay=0.98,
        heldout=dict(budget.heldout),
        validate_minutes=np.inf,
        checkpoint_minutes=1.0,
        threads=budget.threads,
        workers=0,
        init_from=str(ASSET),
        discriminators=DiscriminatorConfig(tuple(s["on"])),
        seed=seed,
    )


def train_variant(variant, seed, out, budget, show):
    """Train a variant, going on from its checkpoint: `Trained`, or None if it was interrupted."""
    keep_memory()
    trainer = Trainer(config_of(variant, seed, out, budget), resume=True)
    errors = trainer.run(show)
    if trainer.progress() < 1:
        return None
    path = Path(out) / "regressor.onnx"
    export(trainer.average.module, path, trainer.model.name)
    figures = {f"{name}_error": r["error"] for name, r in errors.items()}
    return Trained(ParameterAligner(path, trainer.model), 1, figures)


def tables(results):
    """The section's tables and notes."""
    every = [v.name for v in results.variants]
    steady = {
        "clips: jitter %": "clips_jitter",
        "MediaPipe's, filtered": "clips_jitter_mediapipe",
        "clips: distance %": "clips_distance",
        "clips: lag": "clips_lag",
        "SteadyBench jitter %": "jitter",
        "stability %": "stability",
        "NMF": "nmf",
        "lag": "lag",
    }
    errors = {
        "portraits %": "heldout_error",
        "SteadyBench NME %": "nme",
        **{f"NME {c} %": f"nme_{c}" for c in "ABC"},
    }
    made = [
        comparison(results, "Steadiness, before any filter.", every, steady, {}),
        comparison(results, "Accuracy.", every, errors, {}),
    ]
    return made, [_best(results), *_NOTES]


def _best(results):
    """Which variant trembles least on real clips, a sentence."""
    jitter = {v.title: results.values(v.name, "clips_jitter") for v in results.variants}
    means = {title: float(np.mean(values)) for title, values in jitter.items() if len(values)}
    if not means:
        return ""
    least = min(means, key=lambda title: means[title])
    return f"Least jitter on the clips: {least} ({means[least]:.3f} %)."


_NOTES = (
    "Clips: medians of the trial clips, inner 51 points, percent of MediaPipe's inter-ocular distance; no "
    "filter is at work but MediaPipe's own. SteadyBench: 68 points, hidden ones too, by the root of the box' "
    "area. Every network crops by its own answer of the frame before.",
    "The motion loss is the distance of predicted from true displacement between adjacent frames, in "
    "millimetres (`losses.motion_loss`), with the weight given; the discriminators are those of landmark "
    "displacement learning. All variants are alike in everything else. What came of it, trained for longer, "
    "is shipped now: its card says how.",
)

ABLATION = Ablation(
    name="live",
    title="What steadies the live network",
    command="steadyface benchmark ablation live",
    variants=VARIANTS,
    budget=Budget(
        iterations=150,
        batch=96,
        sets={"cache/portraits": 0.35, "cache/profiled": 0.2, "cache/filmed": 0.2, "cache/sequences": 0.25},
        heldout={"heldout": "cache/heldout"},
    ),
    train=train_variant,
    tables=tables,
    start="the network that was shipped when it was run",
)
