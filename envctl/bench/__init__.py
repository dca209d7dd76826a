"""Numbers of measurements -> what can be said of them. Pure: no files, clock, processes or terminal."""
