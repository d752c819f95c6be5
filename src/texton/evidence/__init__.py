"""What excites each filter in a folder of pictures: kept, merged, read back, cut out."""
