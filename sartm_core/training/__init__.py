"""Training: configuration, samples, checkpoints and the run itself."""
