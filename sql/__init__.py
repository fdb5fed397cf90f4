"""Floor 1: everything that speaks SQL, and the two value types that everyone shares."""
