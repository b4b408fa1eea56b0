"""The coordinator: what a saga is, what happens next, and the runtime that makes it happen."""
