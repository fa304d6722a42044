"""Training: data, losses, loops. Needs the `train` extra."""

import os

# Read once, when torch is loaded: threads that spin at every barrier would starve the processes that make
# batches on the same cores (measured: 30 times slower with four busy processes on two cores).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
