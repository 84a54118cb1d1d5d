"""Evaluate a trained Explainer (or a classifier): python evaluate.py --config voc_vgg16.yaml [--ckpt_path …]."""

from explainer.commands import evaluate, run

if __name__ == "__main__":
    run(evaluate)
