"""The phantom: simulated people over real anatomy, with known truth."""
