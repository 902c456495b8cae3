"""The port that commands call, and those who can carry it out."""
