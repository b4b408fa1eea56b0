"""Reading the log: projections, stories, replay, and what is published of it."""
