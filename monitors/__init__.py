"""Floor 2: what is measured."""
