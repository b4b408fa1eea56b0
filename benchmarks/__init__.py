"""`make bench`: what a saga costs, beside the raw insert ceiling and DBOS. See docs/benchmarks.md."""
