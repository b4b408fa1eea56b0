"""Examples that run: each folder is one, with a README that says what it shows."""
