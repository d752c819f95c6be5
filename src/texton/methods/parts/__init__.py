"""What methods are made of, torch and all: their own files declare, these compute."""
