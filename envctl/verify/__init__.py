"""Arrays in, a verdict out: inputs, tolerances, comparison, and whether the reference proves anything. Pure."""
