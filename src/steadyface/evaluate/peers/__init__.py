"""Trackers that are measured: one script each, ours among them, that all follow one protocol.

`python SCRIPT VIDEO OUT.npz [--threads N]` follows the face of a video and writes a prediction file
(`steadyface.evaluate.prediction`). Scripts of other tools run in environments of their own, and import
numpy, OpenCV, their tool and `adapter`, never steadyface.
"""
