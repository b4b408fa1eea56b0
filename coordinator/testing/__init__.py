"""What users test their sagas and connectors with; the public names are in `amends.testing`."""
