"""What else evaluate.py runs: a folder each, with settings, run and tables."""
