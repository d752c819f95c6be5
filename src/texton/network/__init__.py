"""A trained network as named layers: images in, codes out."""
