"""Evaluate a trained Explainer (or a classifier): python evaluate.py --config voc_vgg16.yaml [--ckpt_path …]."""

import sys

from explainer.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
