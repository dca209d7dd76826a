"""Facts -> verdicts, by pure rules: what is wrong with a machine, what follows from what, and what mends it."""
