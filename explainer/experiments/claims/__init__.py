"""Claims of papers, each checked against results that are on the disk: which hold, which do not."""
