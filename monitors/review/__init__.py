"""The month's batch for people, and what their labels say of the automated scores."""
