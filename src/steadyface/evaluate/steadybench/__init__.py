"""SteadyBench: filmed clips of heads that talk and turn, whose truth is known exactly."""
