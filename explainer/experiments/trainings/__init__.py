"""Trainings of several configs with several seeds, and a table of their test scores."""
