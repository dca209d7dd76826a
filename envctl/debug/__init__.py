"""Where two runs part: errors of tensors, and the search for the first node whose inputs agree and whose output does not."""
