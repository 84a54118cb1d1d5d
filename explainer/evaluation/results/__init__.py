"""Rows, and what becomes of them: means, intervals, files."""
