"""The pages: they find, validate, call the door, and redirect."""
