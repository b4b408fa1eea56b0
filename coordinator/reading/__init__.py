"""Reading the log: outcomes, exposure, replay, stories. Nothing here appends."""
