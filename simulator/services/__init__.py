"""The simulated services: one file or folder for each Google API."""
