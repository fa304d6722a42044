"""Dense alignment networks trained with equally many pictures: FlowFace's section 4.5 and table 4.

python benchmarks/flow_table.py --set cache/filmed256=1 --heldout cache/filmed256_check --pictures 200000 \\
    [--seeds 0 1] [--only flow-1 flow-3] [--runs runs/flow_table] [--out docs]

A training that is finished is not repeated, one that was interrupted goes on: the command may be given again.
"""

import argparse
from pathlib import Path

from steadyface.evaluate.report import save
from steadyface.learn.flow_comparison import CONTENDERS, Training, compare, section
from steadyface.learn.settings import read_shares


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", action="append", required=True, help="sample folder and share: FOLDER=0.6")
    parser.add_argument("--heldout", action="append", required=True, help="held-out sample folder")
    parser.add_argument("--pictures", type=int, required=True, help="pictures that each network is shown")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", default=list(CONTENDERS), help=f"of {', '.join(CONTENDERS)}")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--init-from", help="exported regressor or checkpoint for the MobileNets")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--runs", type=Path, default=Path("runs/flow_table"))
    parser.add_argument("--out", type=Path, default=Path("docs"))
    args = parser.parse_args()
    heldout = {Path(folder).name: folder for folder in args.heldout}
    training = Training(
        read_shares(args.set), heldout, args.pictures, args.batch, args.learning_rate, args.init_from
    )
    machine = {"threads": args.threads, "workers": args.workers, "device": args.device}
    measured = compare(args.only, training, args.seeds, args.runs, **machine)
    words = ["python benchmarks/flow_table.py", *(f"--set {s}" for s in args.set)]
    words += [*(f"--heldout {h}" for h in args.heldout), f"--pictures {args.pictures}"]
    words += ["--seeds", *map(str, args.seeds)]
    if args.only != list(CONTENDERS):
        words += ["--only", *args.only]
    words += [f"--batch {args.batch}", f"--learning-rate {args.learning_rate:g}"]
    words += [f"--init-from {args.init_from}"] if args.init_from else []
    print(save(section(measured, training, args.seeds, " ".join(words)), args.out))


if __name__ == "__main__":
    main()
