"""What is said, to whom, once."""
