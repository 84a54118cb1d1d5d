"""The command line: what train.py and evaluate.py say and do."""
