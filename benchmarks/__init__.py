"""How fast the parts are, as ratios within one run: machines differ, and these are noisy."""
