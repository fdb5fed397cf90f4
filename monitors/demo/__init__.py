"""A believable product's traffic, with planted and documented incidents."""
