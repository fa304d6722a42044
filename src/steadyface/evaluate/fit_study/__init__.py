"""What a fit gains from more frames, more cameras, a neutral prior and offsets, on people filmed at once."""
