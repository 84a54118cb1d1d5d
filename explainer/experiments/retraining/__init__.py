"""ROAR and KAR: networks retrained on what a method leaves of the images."""
