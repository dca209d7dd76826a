"""Where two runs part: errors of tensors, and the search for the first node that parts though its inputs agree."""
