"""Training on a folder of photographs: resumable, watched, the same for a seed."""
