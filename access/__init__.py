"""The command line for people: explain a denial, print the role an identity needs."""
