"""Pictures of heads whose truth is known: what training, the benchmark and the demo are filmed with."""
