"""Maps of a method, made or read."""
