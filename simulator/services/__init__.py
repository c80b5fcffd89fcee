"""The simulated services, one module each; importing one registers its handlers."""
