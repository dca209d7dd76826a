"""CI files: which locks, targets and images are verified where, written for GitHub and for GitLab."""
