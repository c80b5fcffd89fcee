"""The policy pack: over-broad access cannot pass review."""
