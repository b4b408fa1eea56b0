"""What crosses a boundary: entries and events, triggers, outcomes, their encodings."""
