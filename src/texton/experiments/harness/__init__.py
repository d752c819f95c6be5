"""What every experiment shares: its inputs, its folder on disk, its units."""
