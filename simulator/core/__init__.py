"""What all stands on: a clock, numbers, who calls, and the place where parts are found."""
