"""What SQLite and PostgreSQL say alike, said once."""
