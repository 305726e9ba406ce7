"""Which number is right."""
