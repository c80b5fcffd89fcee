"""What the stack declares, one component a file."""
