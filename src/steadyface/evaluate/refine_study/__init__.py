"""The study of self-refinement: its steps, what hides a face, its speed, and the paper's own method."""
