"""What the coordinator asks of the world: a store, a bus. Connectors fulfil it; one contract suite holds each to it."""
