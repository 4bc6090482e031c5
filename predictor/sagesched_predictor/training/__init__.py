"""Making of predictor artifacts. Needs the `train` extra; never imported while serving."""
