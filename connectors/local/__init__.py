"""The local bus: topics are tables in the store, with one reader; what we publish is a view over the log."""
