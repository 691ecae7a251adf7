"""What training and evaluation share: loading for use, generation, sampling, log-probabilities, windows."""
