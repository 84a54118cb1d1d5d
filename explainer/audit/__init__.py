"""A data set, audited: the masks of all its images, and what they tell of a classifier's shortcuts."""
