"""Maps judged, image by image."""
