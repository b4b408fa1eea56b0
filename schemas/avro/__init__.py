"""Avro: a guarded reader, the two wire formats, compatibility, and the schemas of the topics we publish (`.avsc`)."""
