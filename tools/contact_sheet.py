"""Evenly chosen frames of a video in one picture, to look at.

python tools/contact_sheet.py steadyface_demo/overlay.mp4 docs/images/demo.jpg --columns 4 --rows 1
"""

import argparse

import cv2
import numpy as np

from steadyface.video import read_video


def contact_sheet(path, columns, rows, height):
    """(rows * height, ..., 3) uint8 RGB of columns * rows frames."""
    with read_video(path) as video:
        frames = [frame.image for frame in video]
    chosen = np.linspace(0, len(frames) - 1, columns * rows + 2).round().astype(int)[1:-1]
    width = round(frames[0].shape[1] * height / frames[0].shape[0])
    tiles = [cv2.resize(frames[i], (width, height), interpolation=cv2.INTER_AREA) for i in chosen]
    return np.vstack([np.hstack(tiles[r * columns : (r + 1) * columns]) for r in range(rows)])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video")
    parser.add_argument("out")
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--height", type=int, default=300)
    args = parser.parse_args()
    sheet = contact_sheet(args.video, args.columns, args.rows, args.height)
    cv2.imwrite(args.out, sheet[..., ::-1])


if __name__ == "__main__":
    main()
