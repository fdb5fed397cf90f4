"""Whether the model behind the API is still the one that was pinned."""
