"""Pure: what an undo is, undo order, settling of doubt."""
