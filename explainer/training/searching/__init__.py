"""Find the weights of a loss: trainings tried one after the other by Optuna, compared without a segmentation."""
