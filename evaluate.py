"""Evaluate a trained Explainer (or a classifier): python evaluate.py --config voc_vgg16.yaml [--ckpt_path …]."""

import sys

if __name__ == "__main__":
    try:  # importing takes seconds, in which somebody may think better of it
        from explainer.cli.evaluate import evaluate, run
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    run(evaluate)
