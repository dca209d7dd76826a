"""Causes of an error from its log: rules (data in `symptoms/`), a scan of the log, a ranking. Pure but for reading."""
