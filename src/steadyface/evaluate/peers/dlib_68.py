"""dlib's 68 points: its frontal face detector on every frame and its shape predictor; needs dlib-bin.

python dlib_68.py VIDEO OUT.npz [--threads N] [--model shape_predictor_68_face_landmarks.dat]

Each frame stands alone, as in dlib's own examples; of several faces the surest detection counts. The model
is looked for in share/dlib of this environment and in the system's /usr/share/dlib, where Debian's package
libdlib-data puts it. It was trained on iBUG 300-W, whose terms exclude commercial use.
"""

import sys
from pathlib import Path

import dlib
import numpy as np
from adapter import arguments, follow, spread, write

MODEL = "shape_predictor_68_face_landmarks.dat"


def main():
    args = arguments(__doc__, model={"type": Path, "help": f"{MODEL}, if it lies elsewhere"})
    detect = dlib.get_frontal_face_detector()
    predict = dlib.shape_predictor(str(args.model or find_model()))

    def process(image):
        boxes, scores, _ = detect.run(image, 0)
        if not boxes:
            return None
        shape = predict(image, boxes[int(np.argmax(scores))])
        # Whole pixels, counted from the centre of the first one.
        return np.array([(p.x, p.y) for p in shape.parts()], float)

    found, answers, seconds, memory_mb = follow(args.video, process)
    write(
        args.out,
        method=f"dlib {dlib.__version__}",
        found=found,
        points_ibug68=spread(found, answers, (68, 2)),
        seconds=seconds,
        memory_mb=memory_mb,
    )


def find_model():
    folders = [Path(sys.prefix) / "share" / "dlib", Path("/usr/share/dlib")]
    for folder in folders:
        if (folder / MODEL).is_file():
            return folder / MODEL
    raise SystemExit(f"{MODEL} is in none of {', '.join(map(str, folders))}: give it with --model")


if __name__ == "__main__":
    main()
