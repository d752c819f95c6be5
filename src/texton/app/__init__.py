"""The live page: a photograph, a filter, sliders, and the picture as it is solved."""
