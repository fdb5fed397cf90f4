"""Whether users ask for something else than before: columns, embeddings, topics."""
