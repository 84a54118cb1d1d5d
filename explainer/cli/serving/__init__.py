"""A page on this machine, on which a photograph is dropped and its explanation is seen."""
